package reference_test

import (
	"testing"

	"github.com/crossaccount/crossaccount/iam/reference"
)

func TestHasNoEffectAcrossAccounts(t *testing.T) {
	count := 0
	kms, _ := reference.LookupService("kms")
	for _, a := range kms.Actions() {
		if !reference.HasNoEffectAcrossAccounts(a.String()) {
			count++
		}
	}
	// 19 operations, of which ReEncrypt is two actions.
	if count != 20 {
		t.Errorf("%d actions of kms work across accounts, want 20", count)
	}
	for action, want := range map[string]bool{
		"kms:Decrypt": false, "KMS:decrypt": false, "kms:ScheduleKeyDeletion": true, "kms:PutKeyPolicy": true,
		"sqs:SendMessage": false, "sqs:CreateQueue": true, "sqs:TagQueue": true, "s3:PutBucketPolicy": false, "kms:NoSuchAction": false,
	} {
		if got := reference.HasNoEffectAcrossAccounts(action); got != want {
			t.Errorf("%s: %v, want %v", action, got, want)
		}
	}
}

func TestSendsSource(t *testing.T) {
	for _, test := range []struct {
		service, principal string
		want               bool
	}{
		{"sqs", "sns.amazonaws.com", true},
		{"S3", "CloudFront.amazonaws.com", true},
		{"kms", "sns.amazonaws.com", false},
		{"sns", "events.amazonaws.com", false},
		{"", "sns.amazonaws.com", false},
	} {
		source, got := reference.SendsSource(test.service, test.principal)
		if got != test.want || got != (source != "") {
			t.Errorf("%s of %s: %v (%q), want %v", test.principal, test.service, got, source, test.want)
		}
	}
}
