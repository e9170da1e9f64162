// The scenario of clients_test.go with the AWS SDK for JavaScript. Reads it as
// JSON from standard input and writes the observations as JSON to standard
// output.
"use strict";
const { createHash } = require("node:crypto");
const { createReadStream, readFileSync } = require("node:fs");
const cfn = require("@aws-sdk/client-cloudformation");
const iam = require("@aws-sdk/client-iam");
const s3 = require("@aws-sdk/client-s3");
const sts = require("@aws-sdk/client-sts");
const { fromTemporaryCredentials } = require("@aws-sdk/credential-providers");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const s = JSON.parse(readFileSync(0, "utf8"));
const seen = [];

async function step(name, call) {
  try {
    seen.push({ step: name, value: (await call()) ?? "" });
  } catch (e) {
    seen.push({ step: name, code: e.name });
  }
}

const credentials = (c) => ({ accessKeyId: c.access_key_id, secretAccessKey: c.secret_access_key, sessionToken: c.session_token });
const configOf = (c) => ({ region: s.region, credentials: typeof c === "function" ? c : credentials(c) });
const broker = new sts.STSClient(configOf(s.broker));
const admin = configOf(s.admin);

const assume = (more) =>
  broker.send(new sts.AssumeRoleCommand({ RoleArn: s.role, RoleSessionName: "scenario", ExternalId: s.external_id, ...more }));
const identity = async (c) => (await new sts.STSClient(configOf(c)).send(new sts.GetCallerIdentityCommand({}))).Arn;

async function get(c, key) {
  const out = await new s3.S3Client(configOf(c)).send(new s3.GetObjectCommand({ Bucket: s.bucket, Key: key }));
  return out.Body.transformToString();
}

async function assuming() {
  await step("identity of the user", () => identity(s.broker));
  await step("assume without external ID", () => assume({ ExternalId: undefined }));
  await step("assume with a wrong external ID", () => assume({ ExternalId: s.external_id.toUpperCase() }));
  await step("assume with a malformed external ID", () => assume({ ExternalId: "with a space" }));
  await step("assume for longer than the role allows", () => assume({ DurationSeconds: 7200 }));
  const out = await assume({});
  await step("assume with the external ID", () => out.AssumedRoleUser.Arn);
  const c = out.Credentials;
  const session = { access_key_id: c.AccessKeyId, secret_access_key: c.SecretAccessKey, session_token: c.SessionToken };
  await step("identity of the session", () => identity(session));
  // As programs do it: the SDK assumes the role when it needs to.
  const provider = fromTemporaryCredentials({
    masterCredentials: credentials(s.broker),
    params: { RoleArn: s.role, RoleSessionName: "scenario", ExternalId: s.external_id },
    clientConfig: { region: s.region },
  });
  await step("get", () => get(provider, s.readable));
  await step("get outside the prefix", () => get(provider, s.secret));
  await step("put", () =>
    new s3.S3Client(configOf(session)).send(new s3.PutObjectCommand({ Bucket: s.bucket, Key: s.readable, Body: "new" })));
  return session;
}

async function wrongCredentials(session) {
  const bad = {
    "wrong secret": { ...session, secret_access_key: session.secret_access_key.slice(0, -1) + "!" },
    "made-up token": { ...session, session_token: "made up" },
    "expired token": s.expired,
  };
  for (const [name, c] of Object.entries(bad)) {
    await step(name + ", STS", () => identity(c));
    await step(name + ", S3", () => get(c, s.readable));
  }
  await step("operation the sandbox lacks", () => new iam.IAMClient(admin).send(new iam.ListSAMLProvidersCommand({})));
}

async function objects(session) {
  const client = new s3.S3Client(admin);
  await step("get what is not there", () => get(s.admin, "missing"));
  const hashOf = async (key) => {
    const out = await client.send(new s3.GetObjectCommand({ Bucket: s.bucket, Key: key, ChecksumMode: "ENABLED" }));
    const hash = createHash("sha256");
    for await (const chunk of out.Body) hash.update(chunk); // fails if the checksum is not that of the body
    return hash.digest("hex");
  };
  await step("upload and download", async () => {
    await client.send(new s3.PutObjectCommand({ Bucket: s.bucket, Key: "large", Body: createReadStream(s.large) }));
    return hashOf("large");
  });
  await step("upload and download in parts", async () => {
    await new Upload({ client, params: { Bucket: s.bucket, Key: "larger", Body: createReadStream(s.larger) } }).done();
    return hashOf("larger");
  });
  await step("list objects in pages", async () => {
    const keys = [];
    for await (const page of s3.paginateListObjectsV2({ client, pageSize: 2 }, { Bucket: s.bucket, Prefix: s.many })) {
      keys.push(...page.Contents.map((o) => o.Key));
    }
    return keys.join("\n");
  });
  await step("presigned URL", () =>
    getSignedUrl(new s3.S3Client(configOf(session)), new s3.GetObjectCommand({ Bucket: s.bucket, Key: s.readable }), { expiresIn: 3600 }));
}

async function stacks() {
  const roles = new iam.IAMClient(admin);
  await step("list roles in pages", async () => {
    const names = [];
    for await (const page of iam.paginateListRoles({ client: roles, pageSize: 2 }, { PathPrefix: s.team })) {
      names.push(...page.Roles.map((r) => r.RoleName));
    }
    return names.join("\n");
  });

  const client = new cfn.CloudFormationClient(admin);
  const stack = { StackName: "scenario" };
  const create = { ...stack, TemplateBody: s.template, Parameters: [{ ParameterKey: "Vendor", ParameterValue: s.vendor_id }] };
  const named = { Capabilities: ["CAPABILITY_NAMED_IAM"] };
  const patience = { client, minDelay: 1, maxDelay: 2, maxWaitTime: 60 };
  const described = async () => (await client.send(new cfn.DescribeStacksCommand(stack))).Stacks[0];

  await step("create stack without capability", () => client.send(new cfn.CreateStackCommand(create)));
  await step("create stack and wait", async () => {
    await client.send(new cfn.CreateStackCommand({ ...create, ...named }));
    await cfn.waitUntilStackCreateComplete(patience, stack);
    return (await described()).StackStatus;
  });
  await step("output of the stack", async () => (await described()).Outputs.find((o) => o.OutputKey === "RoleArn").OutputValue);
  await step("trust of the stack's role", async () => {
    const out = await roles.send(new iam.GetRoleCommand({ RoleName: "made-by-stack" }));
    return JSON.parse(decodeURIComponent(out.Role.AssumeRolePolicyDocument)).Statement[0].Principal.AWS.split(":")[4];
  });
  await step("update stack with nothing", () => client.send(new cfn.UpdateStackCommand({ ...create, ...named })));
  await step("delete stack and wait", async () => {
    await client.send(new cfn.DeleteStackCommand(stack));
    await cfn.waitUntilStackDeleteComplete(patience, stack);
  });
  await step("describe deleted stack", async () => (await described()).StackStatus);
}

async function main() {
  const session = await assuming();
  await wrongCredentials(session);
  await objects(session);
  await stacks();
  process.stdout.write(JSON.stringify(seen));
}

main();
