// The sandbox seen by the AWS SDK for JavaScript. Prints what each step gave.
// Run "npm install" beside it first.
const { STSClient, GetCallerIdentityCommand, AssumeRoleCommand } = require("@aws-sdk/client-sts");
const { S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } = require("@aws-sdk/client-s3");
const { Readable } = require("node:stream");

const { ROLE, EXTERNAL_ID } = process.env;
const refused = (promise) => promise.then(() => "not refused", (e) => `${e.name} ${e.$metadata?.httpStatusCode}`);
const ask = { RoleArn: ROLE, RoleSessionName: "story" };

async function main() {
  const sts = new STSClient({});
  console.log("user:", (await sts.send(new GetCallerIdentityCommand({}))).Arn);
  console.log("no external ID:", await refused(sts.send(new AssumeRoleCommand(ask))));
  console.log("malformed external ID:", await refused(sts.send(new AssumeRoleCommand({ ...ask, ExternalId: "a b" }))));
  const c = (await sts.send(new AssumeRoleCommand({ ...ask, ExternalId: EXTERNAL_ID }))).Credentials;
  const credentials = { accessKeyId: c.AccessKeyId, secretAccessKey: c.SecretAccessKey, sessionToken: c.SessionToken };
  console.log("session:", (await new STSClient({ credentials }).send(new GetCallerIdentityCommand({}))).Arn);

  const s3 = new S3Client({ credentials, forcePathStyle: true });
  const Bucket = "story-bucket";
  await s3.send(new CreateBucketCommand({ Bucket }));
  await s3.send(new PutObjectCommand({ Bucket, Key: "a b/c+d", Body: "hello" }));
  await s3.send(new PutObjectCommand({ Bucket, Key: "stream", Body: Readable.from(["some ", "chunks"]), ContentLength: 11 }));
  for (const Key of ["a b/c+d", "stream"]) {
    const out = await s3.send(new GetObjectCommand({ Bucket, Key }));
    console.log("read:", await out.Body.transformToString(), out.ContentEncoding ?? "plain");
  }
  console.log("list:", (await s3.send(new ListObjectsV2Command({ Bucket }))).Contents.map((o) => o.Key).join(", "));
  console.log("missing:", await refused(s3.send(new GetObjectCommand({ Bucket, Key: "missing" }))));
  const wrong = new S3Client({ credentials: { ...credentials, secretAccessKey: "x" }, forcePathStyle: true });
  console.log("wrong secret:", await refused(wrong.send(new ListObjectsV2Command({ Bucket }))));
}
main().catch((e) => { console.error(e); process.exit(1); });
