// Makes calls with the AWS SDK for JavaScript until they were made with SESSIONS
// different sessions, and says so as JSON. Everything else comes from the
// environment.
"use strict";
const { GetObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");
const { fromHttp } = require("@aws-sdk/credential-providers");

(async () => {
  const sts = new STSClient({});
  const s3 = new S3Client({ credentials: sts.config.credentials, forcePathStyle: true });
  const seen = new Set();
  const deadline = Date.now() + 60_000;
  let said = {};
  for (let calls = 1; seen.size < Number(process.env.SESSIONS) && Date.now() < deadline; calls++) {
    seen.add((await sts.config.credentials()).accessKeyId);
    const identity = (await sts.send(new GetCallerIdentityCommand({}))).Arn;
    const object = await s3.send(new GetObjectCommand({ Bucket: process.env.BUCKET, Key: process.env.KEY }));
    const body = await object.Body.transformToString();
    said = { identity, body, calls, sessions: seen.size };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  console.log(JSON.stringify(said));
})().catch(async (e) => {
  console.error(e);
  // The chain of providers does not say why its last one failed; that one does.
  await fromHttp({})().catch((reason) => console.error(reason.Code, reason.Message));
  process.exit(1);
});
