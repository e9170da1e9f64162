"""Calls a REST API with IAM authorization from Python:

    API_URL=… [ROLE_ARN=…] python3 client.py GET /orders

Credentials are those of the function's role, or of ROLE_ARN, and renew
themselves.
"""

import os
import sys

import boto3
import requests
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from requests_aws4auth import AWS4Auth

REGION = os.environ["AWS_REGION"]


def credentials(role_arn=None):
    """The function's own credentials, or sessions of a role."""
    session = boto3.Session(region_name=REGION)
    own = session.get_credentials()
    if not role_arn:
        return own
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=session._session.create_client,
        source_credentials=own,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "web", "DurationSeconds": 3600},
    )
    return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)


api = requests.Session()
api.auth = AWS4Auth(
    region=REGION,
    service="execute-api",
    refreshable_credentials=credentials(os.environ.get("ROLE_ARN")),
)


def call(method, path, body=None):
    return api.request(method, os.environ["API_URL"] + path, data=body, timeout=10)


if __name__ == "__main__":
    answer = call(sys.argv[1], sys.argv[2])
    print(answer.status_code, answer.text)
