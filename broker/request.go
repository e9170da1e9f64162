package broker

import (
	"encoding/hex"
	"time"
)

// A Request says whose access is wanted and for what. All of it, but for Class
// and Onboarded, selects the entry: two equal requests share one.
type Request struct {
	// Customer and Integration are the names of our own for whom the access
	// is. They are what [Broker.Forget] and [Broker.Revoke] select by and what
	// audit records carry. AWS does not see them. Customer must not be empty.
	Customer    string
	Integration string

	// Purpose names one of [Config.Purposes]; its session policy narrows what
	// the last role of the chain may do. Empty means the whole role.
	Purpose string

	// Chain is the roles to assume one after the other, at least one, at most
	// [MaxChain]. The credentials handed out are those of the last.
	Chain []Role

	// Class says how the credentials are used at first. An entry that is read
	// with [Handle.RetrieveLasting] becomes HTTPRead by itself.
	Class Class

	// Onboarded is when the customer's role was accepted, if that was just now.
	// For [Patience] after it a refusal by AWS is taken for IAM not having
	// spread the role yet: it is retried, and not reported as withdrawn.
	Onboarded time.Time
}

// MaxChain is the longest chain of roles.
const MaxChain = 5

// Patience is how long after onboarding a refusal is retried.
// IAM is eventually consistent:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const Patience = 2 * time.Minute

// A Role is one call of sts:AssumeRole. Its fields have the names and limits of
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
type Role struct {
	ARN         string
	ExternalID  string // "" sends none
	SessionName string

	SourceIdentity    string // "" sends none; the trust policy must allow sts:SetSourceIdentity
	Tags              []Tag  // the trust policy must allow sts:TagSession
	TransitiveTagKeys []string

	Policy     string   // inline session policy; "" sends none
	PolicyARNs []string // managed policies of the role's account used as session policies

	// Shared says that the role is our own and on the way to those of many
	// customers, such as a hub: one session of it serves all of them, and in
	// audit records it is for no customer. The last role of a chain cannot be.
	Shared bool

	// Duration of the session, 15 minutes to 12 hours, 0 means 1 hour. A role
	// assumed with temporary credentials lasts at most 1 hour, and longer
	// durations are shortened to that.
	Duration time.Duration
}

// A Tag is a session tag.
type Tag struct{ Key, Value string }

// A Purpose narrows what credentials may do, by session policies of the last
// role of the chain.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
type Purpose struct {
	Name       string
	Policy     string   // inline; "" for none
	PolicyARNs []string // at most 10
}

// A Class says who reads an entry, which decides how early it is renewed.
type Class uint8

const (
	// InProcess readers take credentials for one request at a time. With 8 to
	// 14 % of the session left, it is renewed.
	InProcess Class = iota
	// HTTPRead readers are SDKs of other processes, which keep what they got and
	// come back at best 15 minutes before it expires. With 25 to 35 % of the
	// session left, it is renewed.
	HTTPRead
)

func (c Class) String() string {
	if c == HTTPRead {
		return "http"
	}
	return "in-process"
}

// A Key identifies an entry: SHA-256 over every input of STS, the customer,
// integration and purpose, the partition and the broker's own identity.
type Key [32]byte

// String returns the first 16 hexadecimal digits, for logs.
func (k Key) String() string { return hex.EncodeToString(k[:8]) }
