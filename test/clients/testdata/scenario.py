"""The scenario of clients_test.go with boto3. Reads it as JSON from standard
input and writes the observations as JSON to standard output."""
import hashlib
import json
import os
import sys
import tempfile

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

s = json.load(sys.stdin)
seen = []


def step(name, call):
    try:
        seen.append({"step": name, "value": call() or ""})
    except ClientError as e:
        seen.append({"step": name, "code": e.response["Error"]["Code"]})


def client(service, credentials, **changed):
    c = dict(credentials, **changed)
    return boto3.client(service, region_name=s["region"], aws_access_key_id=c["access_key_id"],
                        aws_secret_access_key=c["secret_access_key"], aws_session_token=c.get("session_token"))


def assume(**more):
    return client("sts", s["broker"]).assume_role(**{
        "RoleArn": s["role"], "RoleSessionName": "scenario", "ExternalId": s["external_id"], **more})


def identity(credentials, **changed):
    return client("sts", credentials, **changed).get_caller_identity()["Arn"]


def get(credentials, key, **changed):
    return client("s3", credentials, **changed).get_object(Bucket=s["bucket"], Key=key)["Body"].read().decode()


# Assuming the role.
step("identity of the user", lambda: identity(s["broker"]))
step("assume without external ID", lambda: client("sts", s["broker"]).assume_role(RoleArn=s["role"], RoleSessionName="scenario") and "")
step("assume with a wrong external ID", lambda: assume(ExternalId=s["external_id"].swapcase()) and "")
step("assume with a malformed external ID", lambda: assume(ExternalId="with a space") and "")
step("assume for longer than the role allows", lambda: assume(DurationSeconds=7200) and "")
assumed = assume()
step("assume with the external ID", lambda: assumed["AssumedRoleUser"]["Arn"])
c = assumed["Credentials"]
session = {"access_key_id": c["AccessKeyId"], "secret_access_key": c["SecretAccessKey"], "session_token": c["SessionToken"]}
step("identity of the session", lambda: identity(session))
step("get", lambda: get(session, s["readable"]))
step("get outside the prefix", lambda: get(session, s["secret"]))
step("put", lambda: client("s3", session).put_object(Bucket=s["bucket"], Key=s["readable"], Body=b"new") and "")

# Credentials that are not right.
wrong = {"secret_access_key": session["secret_access_key"][:-1] + "!"}
made_up = {"session_token": "made up"}
step("wrong secret, STS", lambda: identity(session, **wrong))
step("wrong secret, S3", lambda: get(session, s["readable"], **wrong))
step("made-up token, STS", lambda: identity(session, **made_up))
step("made-up token, S3", lambda: get(session, s["readable"], **made_up))
step("expired token, STS", lambda: identity(s["expired"]))
step("expired token, S3", lambda: get(s["expired"], s["readable"]))
step("operation the sandbox lacks", lambda: client("iam", s["admin"]).list_saml_providers() and "")

# S3.
s3 = client("s3", s["admin"])
step("get what is not there", lambda: get(s["admin"], "missing"))


def up_and_down(file, key):
    s3.upload_file(file, s["bucket"], key)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        s3.download_file(s["bucket"], key, copy)
        with open(copy, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()


step("upload and download", lambda: up_and_down(s["large"], "large"))
step("upload and download in parts", lambda: up_and_down(s["larger"], "larger"))
step("list objects in pages", lambda: "\n".join(
    o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=s["bucket"], Prefix=s["many"], PaginationConfig={"PageSize": 2}) for o in page["Contents"]))
# In us-east-1 boto3 presigns with signature version 2 unless told otherwise,
# which S3 does not accept for buckets created since June 2020.
v4 = boto3.client("s3", region_name=s["region"], aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"],
                  aws_session_token=c["SessionToken"], config=Config(signature_version="s3v4"))
step("presigned URL", lambda: v4.generate_presigned_url(
    "get_object", Params={"Bucket": s["bucket"], "Key": s["readable"]}, ExpiresIn=3600))

# IAM and CloudFormation.
iam = client("iam", s["admin"])
step("list roles in pages", lambda: "\n".join(
    r["RoleName"] for page in iam.get_paginator("list_roles").paginate(
        PathPrefix=s["team"], PaginationConfig={"PageSize": 2}) for r in page["Roles"]))
cloudformation = client("cloudformation", s["admin"])
stack = {"StackName": "scenario"}
create = {**stack, "TemplateBody": s["template"],
          "Parameters": [{"ParameterKey": "Vendor", "ParameterValue": s["vendor_id"]}]}
named = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}


def described():
    return cloudformation.describe_stacks(**stack)["Stacks"][0]


def wait(name):
    cloudformation.get_waiter(name).wait(**stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def create_and_wait():
    cloudformation.create_stack(**create, **named)
    wait("stack_create_complete")
    return described()["StackStatus"]


def delete_and_wait():
    cloudformation.delete_stack(**stack)
    wait("stack_delete_complete")


step("create stack without capability", lambda: cloudformation.create_stack(**create) and "")
step("create stack and wait", create_and_wait)
step("output of the stack", lambda: {o["OutputKey"]: o["OutputValue"] for o in described()["Outputs"]}["RoleArn"])
step("trust of the stack's role", lambda: iam.get_role(RoleName="made-by-stack")["Role"][
    "AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"].split(":")[4])
step("update stack with nothing", lambda: cloudformation.update_stack(**create, **named) and "")
step("delete stack and wait", delete_and_wait)
step("describe deleted stack", lambda: described()["StackStatus"])

json.dump(seen, sys.stdout)
