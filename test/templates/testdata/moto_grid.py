"""Creates each template as a stack in an account of its own, updates it twice,
and prints as JSON what is in the account after each step.

usage: moto_grid.py ACCOUNT EXTERNAL_ID TEMPLATE...
"""

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
    """Policies come back as text or decoded, by boto3's mood."""
    return unquote(document) if isinstance(document, str) else json.dumps(document)


def account_now(iam, cloudformation):
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


def run(body):
    with mock_aws():
        cloudformation, iam = boto3.client("cloudformation"), boto3.client("iam")
        keep = [{"ParameterKey": k, "UsePreviousValue": True} for k in ("ExternalId", "RoleName")]
        common = {"StackName": "stack", "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        # Like the console, which sends every parameter: moto keeps no defaults.
        values = {k: p.get("Default") for k, p in json.loads(body)["Parameters"].items()} | {"ExternalId": external_id}
        cloudformation.create_stack(
            TemplateBody=body,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
            **common,
        )
        created = account_now(iam, cloudformation)
        cloudformation.update_stack(
            UsePreviousTemplate=True,
            Parameters=keep + [
                {"ParameterKey": "PreviousExternalId", "ParameterValue": "acme-previous"},
                {"ParameterKey": "SetupPhase", "UsePreviousValue": True},
            ],
            **common,
        )
        rotated = account_now(iam, cloudformation)
        cloudformation.update_stack(
            UsePreviousTemplate=True,
            Parameters=keep + [
                {"ParameterKey": "PreviousExternalId", "ParameterValue": ""},
                {"ParameterKey": "SetupPhase", "ParameterValue": "false"},
            ],
            **common,
        )
        return {"Created": created, "Rotated": rotated, "Done": account_now(iam, cloudformation)}


results = []
for file in files:
    with open(file, encoding="utf-8") as f:
        results.append(run(f.read()))
json.dump(results, sys.stdout)
