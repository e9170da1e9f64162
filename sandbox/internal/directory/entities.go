package directory

import (
	"slices"
	"strconv"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// An Identity is what users and roles have in common. It is immutable once it
// came out of a [View].
type Identity struct {
	Account   iam.AccountID
	Partition string
	Path      string // begins and ends with a slash; "/" for none
	Name      string // unique in the account regardless of case
	ID        string // AROA… or AIDA…
	Created   time.Time
	Tags      []Tag
	Inline    []InlinePolicy // sorted by name
	Attached  []string       // ARNs of managed policies, in the order of attachment
	Boundary  string         // ARN of the managed policy that limits it, "" for none
}

// A Role is an IAM role.
type Role struct {
	Identity
	Description        string
	Trust              *Document     // principals are stored as unique ids
	MaxSessionDuration time.Duration // 1 to 12 hours, whole seconds
}

// ARN returns the role's ARN.
func (r *Role) ARN() string { return r.arn("role") }

// SessionARN returns the ARN of a session of the role.
func (r *Role) SessionARN(session string) string {
	return "arn:" + r.Partition + ":sts::" + string(r.Account) + ":assumed-role/" + r.Name + "/" + session
}

// A User is an IAM user.
type User struct {
	Identity
	Keys []AccessKey // at most two
}

// ARN returns the user's ARN.
func (u *User) ARN() string { return u.arn("user") }

func (i *Identity) arn(kind string) string {
	return "arn:" + i.Partition + ":iam::" + string(i.Account) + ":" + kind + i.Path + i.Name
}

// InlinePolicy returns the inline policy of the given name.
func (i *Identity) InlinePolicy(name string) (InlinePolicy, bool) {
	for _, p := range i.Inline {
		if p.Name == name {
			return p, true
		}
	}
	return InlinePolicy{}, false
}

// A Tag is a key and a value. Keys are unique regardless of case and keep the
// case they were written in.
type Tag struct{ Key, Value string }

// SetTags returns tags with those of set added, or changed where there is one
// with the very same key. Its arguments stay as they are.
func SetTags(tags, set []Tag) []Tag {
	kept := slices.DeleteFunc(slices.Clone(tags), func(old Tag) bool {
		return slices.ContainsFunc(set, func(t Tag) bool { return t.Key == old.Key })
	})
	return append(kept, set...)
}

// RemoveTags returns tags without those of the given keys. Its arguments stay
// as they are.
func RemoveTags(tags []Tag, keys []string) []Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool { return slices.Contains(keys, t.Key) })
}

// An InlinePolicy is a policy that is part of a user or role.
type InlinePolicy struct {
	Name     string
	Document *Document
}

// An AccessKey is a pair of long-term credentials.
type AccessKey struct {
	ID      string // AKIA…
	Secret  string // never in logs, errors or answers but the one that made it
	Account iam.AccountID
	UserID  string // AIDA… of the user, "" for the account's root user
	Active  bool
	Created time.Time
}

// A ManagedPolicy is a policy with an ARN of its own that users and roles
// attach: one of a customer's account, or one of AWS's.
type ManagedPolicy struct {
	Account     iam.AccountID // "aws" for AWS's own
	Partition   string
	Path, Name  string
	ID          string // ANPA…
	Description string
	Tags        []Tag
	Created     time.Time
	Updated     time.Time
	Versions    []PolicyVersion // oldest first; at most five
	Default     string          // id of the version in force
	LastVersion int             // number of the newest version ever made; numbers are not used again
}

// A PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	ID       string // "v1", "v2", …
	Document *Document
	Created  time.Time
}

// AWSAccount stands in the place of an account in the ARNs of AWS's own
// managed policies.
const AWSAccount iam.AccountID = "aws"

// ARN returns the policy's ARN.
func (p *ManagedPolicy) ARN() string {
	return "arn:" + p.Partition + ":iam::" + string(p.Account) + ":policy" + p.Path + p.Name
}

// Version returns the version with the given id.
func (p *ManagedPolicy) Version(id string) (PolicyVersion, bool) {
	for _, v := range p.Versions {
		if v.ID == id {
			return v, true
		}
	}
	return PolicyVersion{}, false
}

// DefaultDocument returns the document in force.
func (p *ManagedPolicy) DefaultDocument() *Document {
	v, _ := p.Version(p.Default)
	return v.Document
}

// AddVersion appends a version with the next number and returns its id. It
// belongs into the function of a write.
func (p *ManagedPolicy) AddVersion(d *Document, now time.Time) string {
	p.LastVersion++
	v := PolicyVersion{ID: "v" + strconv.Itoa(p.LastVersion), Document: d, Created: now}
	p.Versions = append(p.Versions[:len(p.Versions):len(p.Versions)], v)
	return v.ID
}

// A LastUse says when and for what credentials were last used. It is not part
// of an entity's versions and always current.
type LastUse struct {
	At              time.Time
	Service, Region string // "s3", "us-east-1"
}
