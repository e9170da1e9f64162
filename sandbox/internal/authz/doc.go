// Package authz is the one place where the sandbox decides whether a call is
// allowed. Services describe what is being done to what ([Query]); this package
// collects every policy layer that applies to the caller, fills in AWS's global
// condition keys, asks iam/eval, records the decision and words the refusal as
// AWS does.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
package authz
