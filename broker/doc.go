// Package broker keeps credentials for many customers' roles ready, so that
// callers do not wait for AWS STS.
//
// A [Broker] is asked for a [Handle] with [Broker.For]. A handle is an
// [aws.CredentialsProvider]: keep it, put it into an [aws.Config] (or take the
// one [Handle.Config] makes) and use it for as long as the service runs.
//
//	b, err := broker.New(broker.Config{AWSConfig: own, Regions: []string{"us-east-1", "us-west-2"}})
//	h, err := b.For(broker.Request{
//		Customer: "acme", Integration: "int-1",
//		Chain: []broker.Role{{ARN: roleARN, ExternalID: externalID, SessionName: "inventory@acme"}},
//	})
//	objects := s3.NewFromConfig(h.Config("eu-west-1"))
//
// Credentials are renewed in the background before they expire. One goroutine
// schedules the renewals of all entries and a bounded number of others make
// the calls; a customer costs memory only. While STS fails, credentials that
// AWS still accepts are still handed out. When a customer withdraws its trust,
// that is confirmed once and then the credentials are dropped ([Config.Withdrawn]).
//
// Every input STS sees, the partition and the broker's own identity select an
// entry; the region does not, because credentials of STS are valid in the whole
// partition.
//
// [aws.CredentialsProvider]: https://pkg.go.dev/github.com/aws/aws-sdk-go-v2/aws#CredentialsProvider
package broker
