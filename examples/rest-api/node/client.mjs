// Calls a REST API with IAM authorization from Node.js:
//
//   API_URL=… [ROLE_ARN=…] node client.mjs GET /orders
//
// Credentials are those of the function's role, or of ROLE_ARN, and renew
// themselves.
import { fromNodeProviderChain, fromTemporaryCredentials } from "@aws-sdk/credential-providers";
import { AwsClient } from "aws4fetch";

const { API_URL, ROLE_ARN, AWS_REGION: region } = process.env;

// refreshing keeps credentials until five minutes before they end. Requests that
// come while they are renewed wait for the same new ones.
function refreshing(provider) {
  let current;
  return async () => {
    const known = await current?.catch(() => undefined);
    if (!known || (known.expiration && known.expiration - Date.now() < 5 * 60_000)) {
      current = provider();
    }
    return current;
  };
}

const own = fromNodeProviderChain({ clientConfig: { region } });
const credentials = refreshing(
  ROLE_ARN
    ? fromTemporaryCredentials({
        masterCredentials: own,
        params: { RoleArn: ROLE_ARN, RoleSessionName: "web", DurationSeconds: 3600 },
        clientConfig: { region },
      })
    : own,
);

export async function call(method, path, body) {
  const aws = new AwsClient({ ...(await credentials()), service: "execute-api", region, retries: 3 });
  const answer = await aws.fetch(API_URL + path, { method, body });
  return { status: answer.status, body: await answer.text() };
}

if (process.argv[2]) {
  const { status, body } = await call(process.argv[2], process.argv[3]);
  console.log(`${status} ${body}`);
}
