// The stacks of a plan as an AWS CDK app: the same policies on the same
// resources and roles. It reads them from the templates of the plan, so that all
// it has to do is what "cdk synth" does: make the constructs and write them.
//
// usage: CDK_OUTDIR=folder node app.js folder-of-the-plan
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { App, Stack } = require('aws-cdk-lib/core')
const iam = require('aws-cdk-lib/aws-iam')
const events = require('aws-cdk-lib/aws-events')
const kinesis = require('aws-cdk-lib/aws-kinesis')
const lambda = require('aws-cdk-lib/aws-lambda')
const s3 = require('aws-cdk-lib/aws-s3')
const sns = require('aws-cdk-lib/aws-sns')
const sqs = require('aws-cdk-lib/aws-sqs')

const document = (d) => new iam.PolicyDocument({ statements: d.Statement.map((s) => iam.PolicyStatement.fromJson(s)) })

const make = {
  'AWS::IAM::ManagedPolicy': (stack, id, p) => new iam.ManagedPolicy(stack, id, {
    managedPolicyName: p.ManagedPolicyName,
    document: document(p.PolicyDocument),
    roles: p.Roles.map((name) => stack.node.tryFindChild(name) ?? iam.Role.fromRoleName(stack, name, name)),
  }),
  'AWS::S3::BucketPolicy': (stack, id, p) => new s3.CfnBucketPolicy(stack, id, { bucket: p.Bucket, policyDocument: document(p.PolicyDocument) }),
  'AWS::Kinesis::ResourcePolicy': (stack, id, p) => new kinesis.CfnResourcePolicy(stack, id, { resourceArn: p.ResourceArn, resourcePolicy: document(p.ResourcePolicy) }),
  'AWS::SQS::QueuePolicy': (stack, id, p) => new sqs.CfnQueuePolicy(stack, id, { queues: p.Queues, policyDocument: document(p.PolicyDocument) }),
  'AWS::SNS::TopicPolicy': (stack, id, p) => new sns.CfnTopicPolicy(stack, id, { topics: p.Topics, policyDocument: document(p.PolicyDocument) }),
  'AWS::Events::EventBusPolicy': (stack, id, p) => new events.CfnEventBusPolicy(stack, id, {
    eventBusName: p.EventBusName, statementId: p.StatementId, statement: iam.PolicyStatement.fromJson(p.Statement).toStatementJson(),
  }),
  'AWS::Lambda::Permission': (stack, id, p) => new lambda.CfnPermission(stack, id, { action: p.Action, functionName: p.FunctionName, principal: p.Principal }),
}

const app = new App({ analyticsReporting: false })
const plan = JSON.parse(fs.readFileSync(path.join(process.argv[2], 'plan.json'), 'utf8'))
for (const wave of plan.waves) {
  for (const s of wave.stacks) {
    const file = path.join(process.argv[2], s.directory, 'template.json')
    if (!fs.existsSync(file)) continue // only documents
    const stack = new Stack(app, s.name, { stackName: s.name, env: { account: s.account_id, region: s.region } })
    const template = JSON.parse(fs.readFileSync(file, 'utf8'))
    for (const [id, r] of Object.entries(template.Resources)) {
      make[r.Type](stack, id, r.Properties)
    }
  }
}
app.synth()
