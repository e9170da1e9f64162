"""The sandbox seen by boto3. Prints what each step gave, one line each."""
import io
import json
import os
import sys
import urllib.request

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

VENDOR, CUSTOMER, EXTERNAL_ID = "111111111111", "222222222222", "Story-0123456789abcdef"
keys = json.loads(sys.stdin.read())


def session(key, secret, token=None):
    return boto3.session.Session(key, secret, token, region_name=os.environ["AWS_REGION"])


def refused(call):
    try:
        call()
    except ClientError as e:
        return "%s %d" % (e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"])
    return "not refused"


vendor, customer = session(*keys[VENDOR]), session(*keys[CUSTOMER])
print("root:", vendor.client("sts").get_caller_identity()["Arn"])

iam = vendor.client("iam")
iam.create_user(UserName="broker")
iam.put_user_policy(UserName="broker", PolicyName="assume", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}))
key = iam.create_access_key(UserName="broker")["AccessKey"]
broker = session(key["AccessKeyId"], key["SecretAccessKey"])

iam = customer.client("iam")
role = iam.create_role(RoleName="guarded", AssumeRolePolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": VENDOR}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}}}))["Role"]["Arn"]
iam.put_role_policy(RoleName="guarded", PolicyName="read", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}))
statement = iam.get_role(RoleName="guarded")["Role"]["AssumeRolePolicyDocument"]["Statement"]
print("trust:", (statement if isinstance(statement, dict) else statement[0])["Principal"]["AWS"])

s3 = customer.client("s3", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"))
s3.create_bucket(Bucket="story-bucket")
s3.put_object(Bucket="story-bucket", Key="a b/c+d.txt", Body=b"hello")
s3.upload_fileobj(io.BytesIO(b"x" * 9_000_000), "story-bucket", "large")  # in parts
print("list:", [(o["Key"], o["Size"]) for o in s3.list_objects_v2(Bucket="story-bucket")["Contents"]])
url = s3.generate_presigned_url("get_object", Params={"Bucket": "story-bucket", "Key": "a b/c+d.txt"}, ExpiresIn=60)
print("presigned:", urllib.request.urlopen(url).read().decode())

sts = broker.client("sts")
ask = dict(RoleArn=role, RoleSessionName="story")
print("no external ID:", refused(lambda: sts.assume_role(**ask)))
print("wrong external ID:", refused(lambda: sts.assume_role(ExternalId=EXTERNAL_ID.lower(), **ask)))
print("malformed external ID:", refused(lambda: sts.assume_role(ExternalId="a b", **ask)))
c = sts.assume_role(ExternalId=EXTERNAL_ID, **ask)["Credentials"]
assumed = session(c["AccessKeyId"], c["SecretAccessKey"], c["SessionToken"])
print("session:", assumed.client("sts").get_caller_identity()["Arn"])
s3 = assumed.client("s3", config=Config(s3={"addressing_style": "path"}))
print("read:", s3.get_object(Bucket="story-bucket", Key="a b/c+d.txt")["Body"].read().decode())
print("write:", refused(lambda: s3.put_object(Bucket="story-bucket", Key="no", Body=b"no")))
print("wrong token:", refused(session(c["AccessKeyId"], c["SecretAccessKey"], "x").client("sts").get_caller_identity))
print("wrong secret:", refused(session(c["AccessKeyId"], "x", c["SessionToken"]).client("sts").get_caller_identity))
print("unknown key:", refused(session("AKIAIOSFODNN7EXAMPLE", "x").client("s3").list_buckets))

cloudformation = customer.client("cloudformation")
cloudformation.create_stack(StackName="story", Capabilities=["CAPABILITY_IAM"], TemplateBody=json.dumps({
    "Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": VENDOR}, "Action": "sts:AssumeRole"}]}}}},
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}}))
cloudformation.get_waiter("stack_create_complete").wait(StackName="story", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
output = cloudformation.describe_stacks(StackName="story")["Stacks"][0]["Outputs"][0]["OutputValue"]
print("stack:", output.split("/")[0], sts.assume_role(RoleArn=output, RoleSessionName="story")["AssumedRoleUser"]["Arn"].split("/")[0])
