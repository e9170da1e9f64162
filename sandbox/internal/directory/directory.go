package directory

import (
	"io"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Options configures a [Directory].
type Options struct {
	// Random is the source of ids and secrets, such as crypto/rand.Reader.
	// Required. A failing reader is a panic: there is no safe way to go on.
	Random io.Reader

	// Delay is how long a change of a user, role or managed policy takes until
	// authorization sees it. Zero means at once.
	Delay time.Duration

	// Clock says when accounts are created, for their root users' dates. Nil
	// leaves these dates zero. All other functions are told the time.
	Clock func() time.Time
}

// A Directory is every account of a sandbox with its principals.
type Directory struct {
	delay time.Duration
	clock func() time.Time
	ids   generator

	mu       sync.RWMutex
	accounts map[iam.AccountID]*Account
	aliases  map[string]iam.AccountID

	byID    sync.Map // unique id of a user or role -> *entry[User] or *entry[Role]
	byKey   sync.Map // long-term access key id -> *Account (root) or *entry[User]
	keyUses sync.Map // long-term access key id -> LastUse

	sessions sessionTable
	managed  map[string]*ManagedPolicy // AWS's own, by ARN; never changed after New
}

// An Account is one AWS account.
type Account struct {
	ID        iam.AccountID
	Partition string

	mu       sync.RWMutex
	root     AccessKey
	alias    string
	roles    table[Role]
	users    table[User]
	policies table[ManagedPolicy]

	providers table[OIDCProvider]

	// Who uses which managed policy now, by ARN.
	attachments uses
	boundaries  uses

	graves []grave // deleted entities and keys that an effective view may still see, oldest first
}

type grave struct {
	at   time.Time
	bury func() // removes the entity from the indexes; needs the account's mutex
}

// New returns a directory without accounts that knows AWS's own managed
// policies, see [AWSManagedPolicies].
func New(o Options) *Directory {
	if o.Random == nil {
		panic("directory: Options.Random is required; use crypto/rand.Reader")
	}
	d := &Directory{
		delay:    o.Delay,
		clock:    o.Clock,
		ids:      generator{random: o.Random},
		accounts: make(map[iam.AccountID]*Account),
		aliases:  make(map[string]iam.AccountID),
	}
	d.managed = awsManaged(&d.ids)
	return d
}

// CreateAccount adds an account of the given partition ("aws") with a root
// user that has one access key.
func (d *Directory) CreateAccount(id iam.AccountID, partition string) (*Account, error) {
	if _, err := iam.ParseAccountID(string(id)); err != nil {
		return nil, err
	}
	if _, ok := iam.LookupPartition(partition); !ok {
		return nil, wire.BadRequest("ValidationError", "unknown partition %q", partition)
	}
	a := &Account{
		ID:          id,
		Partition:   partition,
		attachments: make(uses),
		boundaries:  make(uses),
	}
	var created time.Time
	if d.clock != nil {
		created = d.clock()
	}
	a.root = AccessKey{Created: created, ID: d.newKeyID(prefixLongTermKey, id), Secret: d.ids.secret(), Account: id, Active: true}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accounts[id] != nil {
		return nil, wire.Errorf(http.StatusConflict, "EntityAlreadyExists", "the account %s already exists", id)
	}
	d.accounts[id] = a
	d.byKey.Store(a.root.ID, a)
	return a, nil
}

// Account returns the account with the given id.
func (d *Directory) Account(id iam.AccountID) (*Account, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, ok := d.accounts[id]
	return a, ok
}

// Partition returns the id of an account's partition. An account that does not
// exist counts as one of the commercial partition: it has to be named somehow in
// what is decided and refused.
func (d *Directory) Partition(id iam.AccountID) string {
	if a, ok := d.Account(id); ok {
		return a.Partition
	}
	return "aws"
}

// Accounts returns all accounts, sorted by id.
func (d *Directory) Accounts() []*Account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	accounts := make([]*Account, 0, len(d.accounts))
	for _, a := range d.accounts {
		accounts = append(accounts, a)
	}
	sort.Slice(accounts, func(i, j int) bool { return accounts[i].ID < accounts[j].ID })
	return accounts
}

// RootARN returns the ARN of the account's root user, which in policies stands
// for the account.
func (a *Account) RootARN() string {
	return "arn:" + a.Partition + ":iam::" + string(a.ID) + ":root"
}

// RootKey returns the root user's access key.
func (a *Account) RootKey() AccessKey { return a.root }

// Alias returns the account's alias, "" for none.
func (a *Account) Alias() string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.alias
}

// SetAlias gives the account an alias in place of the one it had; "" takes it
// away. Aliases are unique among all accounts.
func (d *Directory) SetAlias(account iam.AccountID, alias string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.accounts[account]
	if a == nil {
		return noAccount(account)
	}
	if owner, taken := d.aliases[alias]; alias != "" && taken && owner != account {
		return alreadyExists("The account alias %s already exists.", alias)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(d.aliases, a.alias)
	if a.alias = alias; alias != "" {
		d.aliases[alias] = account
	}
	return nil
}

// RecordUse notes that credentials were used: the access key's own last use
// and, for a session of a role, the role's. Unknown keys are ignored.
func (d *Directory) RecordUse(accessKeyID string, use LastUse) {
	if s, ok := d.sessions.lookup(accessKeyID); ok {
		if e, ok := d.byID.Load(s.PrincipalID); ok {
			if role, ok := e.(*entry[Role]); ok {
				role.lastUsed.Store(&use)
			}
		}
		return
	}
	d.keyUses.Store(accessKeyID, use)
}

// KeyLastUse returns when a long-term access key was last used.
func (d *Directory) KeyLastUse(accessKeyID string) (LastUse, bool) {
	use, ok := d.keyUses.Load(accessKeyID)
	if !ok {
		return LastUse{}, false
	}
	return use.(LastUse), true
}

// RoleLastUse returns when a session of the role with the given unique id last
// made a request.
func (d *Directory) RoleLastUse(id string) (LastUse, bool) {
	if e, ok := d.byID.Load(id); ok {
		if role, ok := e.(*entry[Role]); ok {
			if use := role.lastUsed.Load(); use != nil {
				return *use, true
			}
		}
	}
	return LastUse{}, false
}

func (d *Directory) newKeyID(prefix string, account iam.AccountID) string {
	for {
		id := d.ids.accessKeyID(prefix, account)
		if _, taken := d.byKey.Load(id); taken {
			continue
		}
		if _, taken := d.sessions.lookup(id); !taken {
			return id
		}
	}
}
