package reference

import "strings"

// The tables of this file are not in the service authorization reference. They
// were collected by hand in November 2026 from the pages named beside them.

// kmsAcrossAccounts are the actions of KMS that work on a key of another
// account. All others have no effect there even if the key policy allows them.
// IAM divides the operation ReEncrypt into two actions.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html
var kmsAcrossAccounts = newSet(
	"creategrant", "decrypt", "derivesharedsecret", "describekey", "encrypt", "generatedatakey", "generatedatakeypair",
	"generatedatakeypairwithoutplaintext", "generatedatakeywithoutplaintext", "generatemac", "getkeyrotationstatus",
	"getpublickey", "listgrants", "reencryptfrom", "reencryptto", "retiregrant", "revokegrant", "sign", "verify", "verifymac",
)

// sqsWithinAccount are the actions of SQS that no queue policy can give to
// another account.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html
var sqsWithinAccount = newSet(
	"addpermission", "createqueue", "deletequeue", "listqueues", "listqueuetags", "removepermission", "setqueueattributes",
	"tagqueue", "untagqueue",
)

// HasNoEffectAcrossAccounts reports whether AWS documents that an action, given
// by its full name, does nothing when the caller is in another account than the
// resource, whatever the resource's policy says. Case does not matter.
func HasNoEffectAcrossAccounts(action string) bool {
	a, ok := LookupAction(action)
	if !ok {
		return false
	}
	name := strings.ToLower(a.Name)
	switch a.Service {
	case "kms":
		return !kmsAcrossAccounts[name]
	case "sqs":
		return sqsWithinAccount[name]
	}
	return false
}

// sourceSenders are, by the service whose resource has the policy, the service
// principals that say on whose behalf they call, in aws:SourceArn or
// aws:SourceAccount, according to the documentation of that very integration.
// Integrations whose documentation shows a policy without these keys are left
// out, as the calling service may not send them. Left out on purpose are
// EventBridge with topics and log groups, load balancers with buckets, and all
// services with KMS keys, where the encryption context does the same.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
var sourceSenders = map[string]struct {
	services map[string]bool
	source   string
}{
	"s3": {newSet("cloudfront.amazonaws.com", "cloudtrail.amazonaws.com", "config.amazonaws.com", "delivery.logs.amazonaws.com", "logging.s3.amazonaws.com", "s3.amazonaws.com", "guardduty.amazonaws.com", "ses.amazonaws.com"),
		"https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html"},
	"sqs": {newSet("events.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com"),
		"https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-basic-examples-of-sqs-policies.html"},
	"sns": {newSet("cloudwatch.amazonaws.com", "s3.amazonaws.com", "ses.amazonaws.com", "cloudtrail.amazonaws.com", "config.amazonaws.com"),
		"https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html"},
	"lambda": {newSet("apigateway.amazonaws.com", "events.amazonaws.com", "s3.amazonaws.com", "secretsmanager.amazonaws.com", "sns.amazonaws.com", "logs.amazonaws.com", "config.amazonaws.com"),
		"https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-services.html"},
}

// SendsSource reports whether a service principal ("sns.amazonaws.com") tells
// the owner of a resource of the given service, in aws:SourceArn or
// aws:SourceAccount, for whom it calls. It also returns the page that documents
// it.
func SendsSource(resourceService, principal string) (source string, sends bool) {
	senders, ok := sourceSenders[strings.ToLower(resourceService)]
	if !ok || !senders.services[strings.ToLower(principal)] {
		return "", false
	}
	return senders.source, true
}

func newSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
