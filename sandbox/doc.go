// Package sandbox is several AWS accounts in one process that enforce IAM.
//
// Every request is treated as AWS treats it. Its signature is verified, the
// principal is found by its access key, and the call is decided by package
// iam/eval from every policy that bears on it: identity policies, permissions
// boundaries, session policies, and trust or bucket policies. What is refused is
// refused with AWS's error codes and wording. docs/sandbox.md lists the services
// and their operations; what is not implemented says so and never pretends to
// have worked.
//
//	box := sandbox.New(sandbox.Options{})
//	vendor, _ := box.CreateAccount("111111111111")
//	customer, _ := box.CreateAccount("222222222222")
//
// A [Sandbox] is an [http.Handler]; one address serves all services, so
// AWS_ENDPOINT_URL is all that an AWS SDK or the aws command needs. Without any
// network, [Sandbox.Client] is an HTTP client that hands requests for AWS's own
// host names to the sandbox and refuses every other host. Package
// sandbox/sandboxtest has ready configurations of the AWS SDK for Go.
//
// State is in memory and gone with the Sandbox. Nothing here ever connects to
// AWS.
package sandbox
