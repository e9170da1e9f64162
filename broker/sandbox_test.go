package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// The broker against accounts that enforce IAM: a vendor, its hub role, and a
// customer whose role demands the external ID.
func TestSandbox(t *testing.T) {
	const vendor, customer = "111111111111", "222222222222"
	box := sandboxtest.New(t, vendor, customer)
	base := box.Account(vendor).User("broker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}}`)
	hub := box.Account(vendor).Role("hub", trustOf("arn:aws:iam::111111111111:user/broker", ""), []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`,
	})
	all := []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:ListAllMyBuckets","s3:CreateBucket"],"Resource":"*"}}`}
	role := box.Account(customer).Role("Vendor", trustOf("arn:aws:iam::111111111111:user/broker", externalID), all)
	behind := box.Account(customer).Role("BehindHub", trustOf(hub, externalID), all)

	seen := &recorder{}
	var ahead atomic.Int64
	b := start(t, broker.Config{
		AWSConfig: base, Regions: []string{"us-east-1", "eu-west-1"}, BaseIdentity: "vendor", Observer: seen,
		Now:      func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Purposes: []broker.Purpose{{Name: "look", Policy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}}`}},
	})
	request := func(change func(*broker.Request)) *broker.Handle {
		r := broker.Request{
			Customer: "acme", Integration: "int-1",
			Chain: []broker.Role{{ARN: role, ExternalID: externalID, SessionName: "inventory@acme"}},
		}
		change(&r)
		return handle(t, b, r)
	}
	create := func(h *broker.Handle, bucket string) error {
		_, err := s3.NewFromConfig(h.Config("us-east-1")).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
		return err
	}
	list := func(h *broker.Handle) error {
		_, err := s3.NewFromConfig(h.Config("us-east-1")).ListBuckets(t.Context(), nil)
		return err
	}

	h := request(func(*broker.Request) {})
	if err := create(h, "made-by-the-vendor"); err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(h.Config("eu-west-1")).GetCallerIdentity(t.Context(), nil)
	if err != nil || aws.ToString(who.Arn) != "arn:aws:sts::222222222222:assumed-role/Vendor/inventory@acme" {
		t.Errorf("we are %s, %v", aws.ToString(who.Arn), err)
	}

	// The audit record joins with the customer's CloudTrail by the access key.
	key := seen.sessions()[0].AccessKeyID
	calls := box.Calls()
	if !slices.ContainsFunc(calls, func(c sandbox.Call) bool { return c.AccessKeyID == key && c.Operation == "CreateBucket" }) {
		t.Errorf("no call was made with %s", key)
	}

	// A purpose narrows what the same role may do.
	narrowed := request(func(r *broker.Request) { r.Purpose = "look" })
	if err := list(narrowed); err != nil {
		t.Error(err)
	}
	if err := create(narrowed, "not-for-this-purpose"); errorCode(err) != "AccessDenied" {
		t.Errorf("the purpose does not narrow: %v", err)
	}

	// Through the hub.
	if err := list(request(func(r *broker.Request) {
		r.Chain[0].ARN = behind
		r.Chain = append([]broker.Role{{ARN: hub, SessionName: "hub", Shared: true}}, r.Chain...)
	})); err != nil {
		t.Error(err)
	}

	// What the trust policy does not allow.
	for name, change := range map[string]func(*broker.Request){
		"wrong external ID": func(r *broker.Request) { r.Chain[0].ExternalID = strings.ToUpper(externalID) },
		"no external ID":    func(r *broker.Request) { r.Chain[0].ExternalID = "" },
		"no such role":      func(r *broker.Request) { r.Chain[0].ARN += "x" },
		"past the hub":      func(r *broker.Request) { r.Chain[0].ARN = behind },
	} {
		t.Log(name)
		fails(t, request(change), broker.CodeRefused)
	}

	// Policies and tags that STS cannot pack.
	var tags []broker.Tag
	for i := range 50 {
		tags = append(tags, broker.Tag{Key: fmt.Sprintf("%s%02d", strings.Repeat("k", 100), i), Value: strings.Repeat("v", 250)})
	}
	_, err = request(func(r *broker.Request) {
		r.Chain[0].SessionName, r.Chain[0].Tags = "tagged", slices.Clone(tags)
	}).Retrieve(t.Context())
	if code := broker.CodeOf(err); code != broker.CodeInvalidRequest || !strings.Contains(err.Error(), "PackedPolicyTooLarge") {
		t.Errorf("too many tags: %v", err)
	}

	// The customer removes the role: one refusal is a suspicion.
	if _, err := iam.NewFromConfig(box.Account(customer).Config()).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String("Vendor"), PolicyDocument: aws.String(trustOf("222222222222", externalID)),
	}); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(1500 * time.Millisecond)) // AWS is rechecked once a second
	if err := h.Recheck(t.Context()); broker.CodeOf(err) != broker.CodeRefused {
		t.Errorf("recheck: %v", err)
	}
	if s := h.Status(); s.State != broker.StateSuspect {
		t.Errorf("state %s", s.State)
	}
}

// trustOf lets a principal assume a role with an external ID, or without if it is
// empty.
func trustOf(principal, externalID string) string {
	condition := ""
	if externalID != "" {
		condition = fmt.Sprintf(`,"Condition":{"StringEquals":{"sts:ExternalId":%q}}`, externalID)
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"%s},
		{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:TagSession"}]}`, principal, condition, principal)
}

func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
