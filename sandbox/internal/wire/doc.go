// Package wire speaks the protocols of AWS's APIs: errors in any of them, and
// the AWS query protocol of IAM, STS, SNS and CloudFormation and the JSON
// protocols of newer services in both directions.
//
// It knows how requests and answers are written and nothing about what they
// mean. All functions are safe for concurrent use.
//
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
package wire
