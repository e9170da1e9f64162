package sandbox

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/codeartifactapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/eksapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
)

// Options configures a [Sandbox]. The zero value is a good one.
type Options struct {
	// Clock is the sandbox's time: when sessions expire, what aws:CurrentTime
	// is, and what requests' dates are compared with. Nil means time.Now.
	Clock func() time.Time

	// IAMDelay is how long changes of users, roles and policies take until
	// they have an effect, as IAM is eventually consistent. Zero: at once.
	IAMDelay time.Duration

	// StackStep is how long each step of a CloudFormation stack operation
	// takes, about one per resource. Zero: stacks are finished at once.
	StackStep time.Duration

	// Logger receives faults of the sandbox itself and, at level debug, one
	// line per request. Nil means silence.
	Logger *slog.Logger

	// Random is the source of ids and secrets. Nil means crypto/rand.
	Random io.Reader

	// RecordSize is how many calls [Sandbox.Calls] remembers. Zero means 1,000.
	RecordSize int
}

// A Sandbox is a set of AWS accounts. It is an http.Handler and safe for
// concurrent use.
type Sandbox struct {
	clock     func() time.Time
	logger    *slog.Logger
	random    io.Reader
	directory *directory.Directory
	engine    *authz.Engine
	services  map[string]*service // by signing name
	apis      *apigatewayapi.Service
	packages  *codeartifactapi.Service
	stackStep time.Duration
	iamDelay  time.Duration
	randomMu  sync.Mutex

	lambda  *lambdaapi.Service
	eks     *eksapi.Service
	issuers *oidc.Issuers

	// advance brings stack operations and functions up to a time. It is called before
	// every request, whatever its service, because what a stack makes shows
	// everywhere.
	advance func(now time.Time)
}

// New returns a sandbox without accounts.
func New(o Options) *Sandbox {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.RecordSize == 0 {
		o.RecordSize = 1000
	}
	s := &Sandbox{clock: o.Clock, logger: o.Logger, random: o.Random, stackStep: o.StackStep, iamDelay: o.IAMDelay}
	s.directory = directory.New(directory.Options{Random: lockedReader{s}, Delay: o.IAMDelay, Clock: o.Clock})
	s.engine = authz.New(s.directory, o.RecordSize)
	s.services = s.newServices()
	return s
}

// lockedReader lets several users share the source of randomness, which need
// not be safe for concurrent use.
type lockedReader struct{ s *Sandbox }

func (r lockedReader) Read(p []byte) (int, error) {
	r.s.randomMu.Lock()
	defer r.s.randomMu.Unlock()
	return r.s.random.Read(p)
}

// newRequestID returns an id in the form of AWS's.
func (s *Sandbox) newRequestID() string {
	var b [16]byte
	if _, err := io.ReadFull(lockedReader{s}, b[:]); err != nil {
		panic(fmt.Sprintf("sandbox: reading randomness: %v", err))
	}
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Credentials sign requests. SessionToken is empty for long-term credentials.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// An Account is one AWS account of a sandbox.
type Account struct {
	sandbox *Sandbox
	account *directory.Account
}

// CreateAccount adds an account of the commercial partition. The id must be
// twelve digits and new. The account has a root user and nothing else.
func (s *Sandbox) CreateAccount(id string) (*Account, error) {
	return s.CreateAccountIn("aws", id)
}

// CreateAccountIn adds an account of the given partition: "aws", "aws-cn",
// "aws-us-gov" or another one that [iam.Partitions] lists.
func (s *Sandbox) CreateAccountIn(partition, id string) (*Account, error) {
	parsed, err := iam.ParseAccountID(id)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	account, err := s.directory.CreateAccount(parsed, partition)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return &Account{s, account}, nil
}

// Accounts returns all accounts, sorted by id.
func (s *Sandbox) Accounts() []*Account {
	var accounts []*Account
	for _, a := range s.directory.Accounts() {
		accounts = append(accounts, &Account{s, a})
	}
	return accounts
}

// ID returns the account's twelve digits.
func (a *Account) ID() string { return string(a.account.ID) }

// Partition returns the id of the account's partition, "aws" as a rule.
func (a *Account) Partition() string { return a.account.Partition }

// Root returns the credentials of the account's root user.
func (a *Account) Root() Credentials {
	key := a.account.RootKey()
	return Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
}

// JoinOrganization makes the account a member of the organisation with the
// given id ("o-exampleorgid"): it is what aws:PrincipalOrgID and
// aws:ResourceOrgID then say. Empty means that it leaves its organisation.
func (a *Account) JoinOrganization(id string) {
	a.sandbox.engine.SetOrganization(a.account.ID, id)
}
