"""Creates each template as a stack in an account of its own, ends its setup
phase, and prints as JSON what is in the account after each step; then again with
the setup phase ended from the start, and with a previous external ID.

usage: moto_grid.py ACCOUNT EXTERNAL_ID TEMPLATE...
"""

import ast
import json
import os
import sys
from urllib.parse import unquote

account, external_id, *files = sys.argv[1:]
os.environ.update(
    AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1",
    MOTO_ACCOUNT_ID=account,
)

import boto3  # noqa: E402 (moto reads its account from the environment)
from moto import mock_aws  # noqa: E402


def text(document):
    """boto3 decodes most policies. moto keeps the inline policies of a stack's
    roles as Python writes dictionaries."""
    if isinstance(document, str):
        document = unquote(document)
        if not document.startswith("{'"):
            return document
        document = ast.literal_eval(document)
    return json.dumps(document)


def account_now():
    cloudformation, iam = boto3.client("cloudformation"), boto3.client("iam")
    stack = cloudformation.describe_stacks(StackName="stack")["Stacks"][0]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    name = outputs["RoleArn"].rpartition("/")[2]
    role = iam.get_role(RoleName=name)["Role"]
    attached = {}
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        attached[arn] = text(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    return {
        "Role": {
            "ARN": role["Arn"],
            "Name": role["RoleName"],
            "Path": role["Path"],
            "MaxSessionDuration": role["MaxSessionDuration"],
            "Boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "Tags": {t["Key"]: t["Value"] for t in role.get("Tags", [])},
            "Trust": text(role["AssumeRolePolicyDocument"]),
            "Inline": {
                n: text(iam.get_role_policy(RoleName=name, PolicyName=n)["PolicyDocument"])
                for n in iam.list_role_policies(RoleName=name)["PolicyNames"]
            },
        },
        "Attached": attached,
        "Outputs": outputs,
    }


def create(body, **values):
    """Sends every parameter, as the console does: moto keeps no defaults."""
    all_values = {k: p.get("Default") for k, p in json.loads(body)["Parameters"].items()} | values
    boto3.client("cloudformation").create_stack(
        StackName="stack",
        Capabilities=["CAPABILITY_NAMED_IAM"],
        TemplateBody=body,
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in all_values.items()],
    )


def run(body):
    found = {}
    with mock_aws():
        create(body, ExternalId=external_id)
        found["Created"] = account_now()
        if json.loads(body)["Parameters"]["SetupPhase"]["Default"] == "true":
            keep = ("ExternalId", "PreviousExternalId", "RoleName")
            boto3.client("cloudformation").update_stack(
                StackName="stack",
                Capabilities=["CAPABILITY_NAMED_IAM"],
                UsePreviousTemplate=True,
                Parameters=[{"ParameterKey": k, "UsePreviousValue": True} for k in keep]
                + [{"ParameterKey": "SetupPhase", "ParameterValue": "false"}],
            )
        found["Updated"] = account_now()
    # Stacks of their own: moto neither updates trust policies nor removes
    # resources whose condition no longer holds.
    with mock_aws():
        create(body, ExternalId=external_id, SetupPhase="false")
        found["Done"] = account_now()
    with mock_aws():
        create(body, ExternalId=external_id, PreviousExternalId="acme-previous")
        found["Rotated"] = account_now()
    return found


results = []
for file in files:
    with open(file, encoding="utf-8") as f:
        results.append(run(f.read()))
json.dump(results, sys.stdout)
