package world

import (
	"strings"
	"sync"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// A World is a snapshot prepared for questions. It is safe for concurrent use.
type World struct {
	mu sync.RWMutex

	store *store
	index *index

	accounts   map[iam.AccountID]*account
	orgs       map[string]Organization
	controls   map[string]ControlPolicy
	managed    map[string]Document
	groups     map[string]*group                     // by ARN
	principals map[string]*principal                 // users, roles and root users, by ARN
	byAccount  map[iam.AccountID]map[*principal]bool // users and roles
	names      map[nameKey]*principal
	ids        map[string]*principal // by unique id
	resources  map[string]*resource  // by ARN
	endpoints  map[string]*endpoint  // by id
	providers  map[string]Provider   // by ARN
	strings    map[string]string     // interned
}

// A nameKey finds a role by what its sessions' ARNs say, which leave out the
// role's path.
type nameKey struct {
	account iam.AccountID
	name    string
}

// An account is immutable; a change of the organisation makes new ones.
type account struct {
	id        iam.AccountID
	partition string
	listed    bool // the snapshot is about it
	principal bool // all principals are listed
	resource  bool // all resources with policies are listed

	org             string // "" if it is in no organisation of the world
	orgPath         string // "o-…/r-…/ou-…/"
	management      bool
	serviceControl  [][]*eval.Policy
	resourceControl [][]*eval.Policy
	orgIDs          []string // values of conditions on organisations in the RCPs
}

// A group is an IAM group with its policies.
type group struct {
	id       string
	inline   []*policy
	attached []string
	members  map[string]bool // ARNs of users
}

// A principal is a user, a role or an account's root user. It is immutable: a
// change makes a new one.
type principal struct {
	kind     iam.PrincipalType
	arn      string
	id       string
	account  iam.AccountID
	inline   []*policy
	attached []string
	groups   []string // ARNs
	boundary string
	tags     []tag

	policies []*policy // everything that is attached, groups included
	limit    *policy   // the boundary
	trust    *policy   // of a role
	linked   bool      // the policies know that it has them
}

type tag struct{ key, value string }

// A resource is immutable.
type resource struct {
	arn     string
	account iam.AccountID
	policy  *policy
	tags    []tag
	key     string
}

// An endpoint is immutable.
type endpoint struct {
	Endpoint
	policy *policy
}

// Compile prepares a snapshot. It does not keep the snapshot. The error names
// what in it contradicts itself.
func Compile(s *Snapshot) (*World, error) {
	x := newIndex()
	w := &World{
		store: newStore(x), index: x,
		accounts: make(map[iam.AccountID]*account), orgs: make(map[string]Organization),
		controls: make(map[string]ControlPolicy), managed: make(map[string]Document),
		groups: make(map[string]*group), principals: make(map[string]*principal, len(s.Users)+len(s.Roles)),
		byAccount: make(map[iam.AccountID]map[*principal]bool),
		names:     make(map[nameKey]*principal, len(s.Roles)), ids: make(map[string]*principal, len(s.Users)+len(s.Roles)),
		resources: make(map[string]*resource, len(s.Resources)), endpoints: make(map[string]*endpoint),
		providers: make(map[string]Provider), strings: make(map[string]string),
	}
	if err := w.Update(s); err != nil {
		return nil, err
	}
	return w, nil
}

// Update merges a snapshot into the world by the rules of [Snapshot.Merge].
// Nothing that the patch does not mention is looked at: the cost is that of the
// patch and of those who have a policy in it. A patch that is refused changes
// nothing.
func (w *World) Update(patch *Snapshot) error {
	if err := patch.check(nil, false); err != nil { // prepare checks the policies
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	u := update{World: w, touched: make(map[string]bool)}
	for _, step := range []func(*Snapshot) error{u.prepare, u.organize} {
		if err := step(patch); err != nil {
			return err
		}
	}
	u.apply(patch)
	return nil
}

// accountOf returns the account in an ARN, or "".
func accountOf(arn string) iam.AccountID {
	rest := arn
	for range 4 {
		_, after, ok := strings.Cut(rest, ":")
		if !ok {
			return ""
		}
		rest = after
	}
	id, _, _ := strings.Cut(rest, ":")
	if account, err := iam.ParseAccountID(id); err == nil {
		return account
	}
	return ""
}

func partitionOf(arn string) string {
	_, rest, _ := strings.Cut(arn, ":")
	partition, _, _ := strings.Cut(rest, ":")
	return partition
}

// lastName returns the last part of the ARN of a role or user.
func lastName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// groupARN returns the key under which a user's group is kept. The path of a
// group is not in the user's list, and names are unique in an account.
func groupARN(userARN, name string) string {
	return "arn:" + partitionOf(userARN) + ":iam::" + string(accountOf(userARN)) + ":group/" + name
}
