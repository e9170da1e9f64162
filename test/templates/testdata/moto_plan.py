"""Creates the stacks of a plan in moto, wave by wave and each in its account,
feeds outputs to parameters as plan.json says, and prints as JSON what IAM has
then. Removal is not tried: moto refuses to delete the managed policies of stacks
while they are attached, which CloudFormation detaches.

usage: moto_plan.py FOLDER
"""

import json
import os
import pathlib
import sys
from urllib.parse import unquote

folder = pathlib.Path(sys.argv[1])
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")

import boto3  # noqa: E402 (moto reads the environment)
from moto import mock_aws  # noqa: E402


def client(service, stack):
    """moto gives the credentials of an assumed role the role's account."""
    c = boto3.client("sts").assume_role(RoleArn=f"arn:aws:iam::{stack['account_id']}:role/admin", RoleSessionName="plan")["Credentials"]
    return boto3.client(service, region_name=stack["region"], aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])


def text(document):
    return json.loads(unquote(document)) if isinstance(document, str) else document


with mock_aws():
    stacks = [s for w in json.loads((folder / "plan.json").read_text())["waves"] for s in w["stacks"]]
    outputs, found = {}, {"stacks": {}, "roles": {}, "policies": {}}
    for s in stacks:
        cf = client("cloudformation", s)
        cf.create_stack(
            StackName=s["name"], TemplateBody=(folder / s["directory"] / "template.json").read_text(), Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": i["parameter"], "ParameterValue": outputs[i["from_stack"], i["from_output"]]} for i in s.get("inputs", [])],
        )
        made = cf.describe_stacks(StackName=s["name"])["Stacks"][0]
        found["stacks"][s["name"]] = made["StackStatus"]
        for o in made.get("Outputs", []):
            outputs[s["name"], o["OutputKey"]] = o["OutputValue"]
    for account in {s["account_id"]: s for s in stacks}.values():
        iam = client("iam", account)
        for role in iam.list_roles()["Roles"]:
            found["roles"][role["Arn"]] = text(role["AssumeRolePolicyDocument"])
            for p in iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]:
                version = iam.get_policy(PolicyArn=p["PolicyArn"])["Policy"]["DefaultVersionId"]
                found["policies"][p["PolicyArn"]] = text(iam.get_policy_version(PolicyArn=p["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
    print(json.dumps(found))
