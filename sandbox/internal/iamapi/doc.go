// Package iamapi is the sandbox's IAM: the API of version 2010-05-08 on the
// accounts of package directory.
//
// Every operation is a method with an input and an output that checks its
// input, asks for authorization and then reads or writes the directory, in that
// order, as IAM does. CloudFormation calls the same methods on behalf of a
// stack's owner. [Service.ServeAPI] puts the AWS query protocol in front of
// them, and [Operations] lists what is real and what answers NotImplemented.
//
// Errors are [*wire.Error] values with IAM's codes and, as far as they are
// known, its words. A caller works on its own account; to name a policy of
// another account is a cross-account call, which IAM refuses.
//
// What differs from AWS: the number of roles, users and policies in an account
// is not limited. There are no groups, instance profiles, login profiles, MFA
// devices, service-linked roles and identity providers.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html
package iamapi
