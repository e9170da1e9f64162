package directory

import (
	"container/heap"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A Session is a set of temporary credentials and what was fixed when they
// were made. It is immutable. A session does not hold its role's policies: what
// it may do follows the role as it is when a request is made, and a session
// whose principal was deleted may do nothing.
type Session struct {
	AccessKeyID     string // ASIA…
	SecretAccessKey string
	Token           string

	Type    iam.PrincipalType // PrincipalRoleSession, PrincipalUser or PrincipalRootUser (GetSessionToken), PrincipalFederatedUser
	Account iam.AccountID

	// PrincipalID is the unique id of the role or user behind the session; the
	// account id for sessions of a root user. A role made anew under the same
	// name has another id and does not revive the session.
	PrincipalID string

	MinTokenSize int // how long Token is made at least; 0 means its usual size

	Name   string // role session name or federated user's name
	ARN    string // of the session: arn:…:sts::…:assumed-role/NAME/SESSION, or the user's
	Issued time.Time
	Expiry time.Time

	Policies   []*eval.Policy // session policies, inline and managed: one layer; nil for none
	PolicyARNs []string       // the managed ones among them, for show

	Tags           []Tag
	TransitiveTags []string // keys of the tags that a chained session inherits
	SourceIdentity string
	Chained        bool // made with the credentials of another role session: at most an hour

	// Of a session that was made with a token of an identity provider: the
	// provider's ARN, and the condition keys its claims became.
	FederatedProvider string
	FederatedKeys     []FederatedKey

	MFA bool // made with a multi-factor code
}

// A FederatedKey is a condition key that a claim of an identity provider's token
// became: "oidc.example.com:sub".
type FederatedKey struct {
	Name   string
	Values []string
	Multi  bool // of several values, as the type of the key, not of this value
}

// SetFederatedKeys puts the keys into a context.
func SetFederatedKeys(ctx *iam.Context, keys []FederatedKey) {
	for _, k := range keys {
		if k.Multi {
			ctx.SetMulti(k.Name, k.Values...)
		} else {
			ctx.Set(k.Name, k.Values[0])
		}
	}
}

// UserID returns aws:userid of the session's requests: the unique id, with the
// session name after a colon for sessions of roles and federated users.
func (s *Session) UserID() string {
	switch s.Type {
	case iam.PrincipalRoleSession, iam.PrincipalFederatedUser:
		return s.PrincipalID + ":" + s.Name
	}
	return s.PrincipalID
}

// Expired reports whether the session's credentials are no longer valid.
func (s *Session) Expired(now time.Time) bool { return !now.Before(s.Expiry) }

// StartSession makes credentials for a session: it returns a copy of s with
// AccessKeyID, SecretAccessKey and Token filled in. The caller has authorized
// it. Sessions take effect at once, whatever the delay. Sessions that expired
// more than an hour before s was issued are forgotten.
func (d *Directory) StartSession(s Session) *Session {
	s.AccessKeyID = d.newKeyID(prefixTemporaryKey, s.Account)
	s.SecretAccessKey = d.ids.secret()
	s.Token = d.ids.sessionToken(s.MinTokenSize)
	d.sessions.add(&s)
	return &s
}

// Session returns the session with the given access key id, also if it has
// expired not long ago.
func (d *Directory) Session(accessKeyID string) (*Session, bool) {
	return d.sessions.lookup(accessKeyID)
}

// expiredKept is how long expired sessions are remembered, so that their users
// are told ExpiredToken and not that the key never existed.
const expiredKept = time.Hour

type sessionTable struct {
	mu       sync.RWMutex
	byKey    map[string]*Session
	byExpiry expiryHeap
}

func (t *sessionTable) lookup(key string) (*Session, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s, ok := t.byKey[key]
	return s, ok
}

func (t *sessionTable) add(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = make(map[string]*Session)
	}
	for len(t.byExpiry) > 0 && t.byExpiry[0].Expiry.Add(expiredKept).Before(s.Issued) {
		delete(t.byKey, heap.Pop(&t.byExpiry).(*Session).AccessKeyID)
	}
	t.byKey[s.AccessKeyID] = s
	heap.Push(&t.byExpiry, s)
}

type expiryHeap []*Session

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].Expiry.Before(h[j].Expiry) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(s any)        { *h = append(*h, s.(*Session)) }
func (h *expiryHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
