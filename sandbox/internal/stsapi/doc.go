// Package stsapi is the STS of the sandbox: temporary credentials for roles,
// decided by the caller's own policies and the role's trust policy together.
//
// [Operations] lists what is real; everything else answers NotImplemented.
//
// A refused AssumeRole says who asked for what and nothing more. The answer is
// the same for a role that does not exist, an account that does not exist, a
// wrong or missing external ID and a principal the role does not trust. As in
// AWS, an external ID that the role does not ask for is accepted.
//
// Differences from AWS that a caller can notice: how tags and session policies
// are packed is not published, so PackedPolicySize is an estimate; there are no
// MFA devices, so every MFA code is wrong; and an external ID of the wrong form
// is not repeated in the error.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
package stsapi
