package iam

import (
	"sort"
	"strings"
)

// PrincipalType says what kind of identity makes a request.
type PrincipalType int

// The kinds of identities.
const (
	PrincipalAnonymous     PrincipalType = iota // an unsigned request
	PrincipalRootUser                           // an account's root user
	PrincipalUser                               // an IAM user
	PrincipalRole                               // a role itself, in analysis: "any session of this role"
	PrincipalRoleSession                        // a session made by AssumeRole
	PrincipalFederatedUser                      // a session made by GetFederationToken
	PrincipalService                            // an AWS service
	PrincipalWebIdentity                        // a caller of AssumeRoleWithWebIdentity
)

// A Principal is the identity that makes a request.
type Principal struct {
	Type PrincipalType

	// ARN identifies the principal as policies name it: the user's or role's
	// ARN, for sessions the arn:…:sts::…:assumed-role/NAME/SESSION ARN, for a
	// service its name ("states.amazonaws.com"), for a web identity the ARN of
	// the identity provider. Empty for anonymous requests.
	ARN string

	// Account is the account the principal belongs to; empty for services and
	// anonymous requests.
	Account AccountID

	// RoleARN is the ARN of the role behind a session, with its path. The
	// session's own ARN does not show the path. For a federated user it is the
	// ARN of the user that called GetFederationToken.
	RoleARN string

	// UniqueID is the AROA… or AIDA… identifier of the role or user, which is
	// what IAM stores when a policy names one. Empty if it is not known; the
	// principal is then matched by ARN alone.
	UniqueID string
}

// A Request is one API call as IAM sees it.
type Request struct {
	Principal Principal
	Action    string // "s3:GetObject"
	Resource  string // the resource's ARN, or "*" for actions that have none

	// ResourceAccount is the account that owns the resource. If it is empty,
	// the account in the resource's ARN counts, and failing that the
	// principal's own.
	ResourceAccount AccountID

	Context Context
}

// Context holds the condition keys of a request. A key is given, absent or
// unknown. Names of keys are case-insensitive. The zero Context has no keys and
// may be used. A Context is not safe for use while it is being changed.
type Context struct {
	entries map[string]contextEntry

	// unlisted is what a key that was never mentioned is: absent in a closed
	// world, unknown in an open one.
	unlistedUnknown bool

	// absentFamilies are beginnings of keys, in lower case, that are absent
	// unless they were mentioned, also in an open world.
	absentFamilies []string
}

type contextEntry struct {
	name    string // as given
	values  []string
	multi   bool
	unknown bool
	absent  bool
}

// KeyState says what is known about a condition key.
type KeyState int

// The three states of a condition key.
const (
	KeyAbsent KeyState = iota
	KeyGiven
	KeyUnknown
)

// Set gives a single-valued key its value.
func (c *Context) Set(key, value string) {
	c.put(key, contextEntry{values: []string{value}})
}

// SetMulti gives a multivalued key its values, which may be none or only one.
// A multivalued key matches only under ForAllValues and ForAnyValue.
func (c *Context) SetMulti(key string, values ...string) {
	c.put(key, contextEntry{values: values, multi: true})
}

// SetUnknown says that the key may be there or not, with any value.
func (c *Context) SetUnknown(key string) {
	c.put(key, contextEntry{unknown: true})
}

// SetAbsent says that the key is not there. That is what a key that was not
// mentioned is too, unless [Context.SetUnlistedUnknown] was called.
func (c *Context) SetAbsent(key string) {
	c.put(key, contextEntry{absent: true})
}

// SetFamilyAbsent says that of the keys that begin with prefix, such as
// "aws:PrincipalTag/", only those are there that were or will be mentioned.
func (c *Context) SetFamilyAbsent(prefix string) {
	c.absentFamilies = append(c.absentFamilies[:len(c.absentFamilies):len(c.absentFamilies)], strings.ToLower(prefix))
}

// SetUnlistedUnknown makes every key that was not mentioned unknown instead of
// absent.
func (c *Context) SetUnlistedUnknown() { c.unlistedUnknown = true }

// Delete makes the key as if it had never been mentioned.
func (c *Context) Delete(key string) { delete(c.entries, strings.ToLower(key)) }

func (c *Context) put(key string, e contextEntry) {
	if c.entries == nil {
		c.entries = make(map[string]contextEntry)
	}
	e.name = key
	c.entries[strings.ToLower(key)] = e
}

// Lookup returns what is known about a key: its values, whether it is
// multivalued, and its state. The values must not be changed.
func (c *Context) Lookup(key string) (values []string, multi bool, state KeyState) {
	key = strings.ToLower(key)
	e, ok := c.entries[key]
	switch {
	case e.unknown, !ok && c.unlistedUnknown && !c.inAbsentFamily(key):
		return nil, false, KeyUnknown
	case !ok, e.absent:
		return nil, false, KeyAbsent
	}
	return e.values, e.multi, KeyGiven
}

func (c *Context) inAbsentFamily(key string) bool {
	for _, family := range c.absentFamilies {
		if strings.HasPrefix(key, family) {
			return true
		}
	}
	return false
}

// Keys returns the names of the keys that were mentioned, as given, sorted.
func (c *Context) Keys() []string {
	keys := make([]string, 0, len(c.entries))
	for _, e := range c.entries {
		keys = append(keys, e.name)
	}
	sort.Strings(keys)
	return keys
}

// Clone returns an independent copy.
func (c *Context) Clone() Context {
	clone := Context{unlistedUnknown: c.unlistedUnknown, absentFamilies: c.absentFamilies}
	for _, e := range c.entries {
		clone.put(e.name, e)
	}
	return clone
}
