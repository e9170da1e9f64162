"""Makes calls with boto3 until they were made with SESSIONS different sessions,
and says so as JSON. Everything else comes from the environment."""
import json
import os
import time

import boto3

session = boto3.Session()
sts, s3 = session.client("sts"), session.client("s3")
seen, calls, said = set(), 0, {}
deadline = time.monotonic() + 60
while len(seen) < int(os.environ["SESSIONS"]) and time.monotonic() < deadline:
    seen.add(session.get_credentials().get_frozen_credentials().access_key)
    identity = sts.get_caller_identity()["Arn"]
    body = s3.get_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"])["Body"].read().decode()
    calls += 1
    said = {"identity": identity, "body": body, "calls": calls, "sessions": len(seen)}
    time.sleep(0.2)
print(json.dumps(said))
