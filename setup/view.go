package setup

// A View is everything a page shows. Sections whose pointer or list is nil are
// left out. URLs without a scheme are relative to the page itself and begin
// with a question mark.
type View struct {
	// State is the integration's, or "" if there is none yet. It chooses the
	// page's heading, its first words and the step that is marked in the
	// progress line.
	State string

	Notice   *Notice
	Start    *Start
	Launch   *Launch
	Complete *Complete
	Live     *Live
	Report   []Step // what a verification found that ended
	Done     *Done
	Check    *Again // the button that verifies the role in use again
	Checks   []Check
	Accounts []Account // the customer's other integrations
	NewURL   string    // where another account is connected

	Grants *Grants
}

// A Notice says how the last action went, or what is wrong.
type Notice struct {
	Kind   string // "ok", "wait" or "error"
	Text   string
	Remedy string
}

// Start is the form that begins an onboarding, or begins it again.
type Start struct {
	AskCustomer   bool // nobody has authenticated the caller
	CustomerID    string
	CustomerName  string
	IntegrationID string // set if one is begun again
	Region        string
}

// Launch is the link that creates the stack, and the ways without it.
type Launch struct {
	URL            string // of the AWS console; "" if there is no link at the moment
	StackName      string
	ExternalID     string
	RoleName       string
	Region         string
	TemplateSHA256 string
	Folded         bool // the link is not what the page is about
}

// Complete is the form that sends the role's ARN back.
type Complete struct {
	CustomerID    string // only if nobody has authenticated the caller
	IntegrationID string
	RoleARN       string
	Folded        bool // the form is not what the page is about
}

// Live is a verification that goes on.
type Live struct {
	RoleARN   string
	Steps     []Step
	Waiting   bool   // for AWS, which may not know a new role yet
	EventsURL string // tells a script what happens
	ReloadURL string
	Continue  *Complete // set if the verification does not go on by itself
}

// A Step is one check of a verification. Result is passed, failed,
// inconclusive, skipped, running or waiting.
type Step struct{ Name, Expectation, Result, Detail, Remedy string }

// Done describes an account that is connected, or was.
type Done struct {
	AccountID  string
	RoleARN    string
	Region     string
	StackName  string
	StackURL   string // of the AWS console, or ""
	CheckedAt  string
	SetupLeft  bool // setup permissions are still granted, or may be
	SetupGone  bool // setup permissions were seen to be removed
	InUse      bool // the service uses the role
	Parameters []string
}

// Again is a form with nothing but a button.
type Again struct {
	CustomerID    string
	IntegrationID string
}

// A Check compares one permission with the role. State is present, missing,
// removed or not_checked.
type Check struct{ Name, Actions, State, Reason string }

// An Account is another integration of the same customer.
type Account struct{ AccountID, State, URL string }

// Grants is what the stack allows, for everybody who opens the page.
type Grants struct {
	VendorAccount string
	Ongoing       Phase
	Setup         Phase
	SelfReading   bool // the role may read its own policies
}

// A Phase is one of the two sets of permissions.
type Phase struct {
	Permissions []Permission
	Policy      string // JSON, indented
}

// A Permission is one statement of what the role may do, see [Describe].
type Permission struct {
	Title      string   // from the statement's Sid, may be empty
	Deny       bool     // it forbids instead
	Level      string   // "read", "write" or "permissions": the most it allows
	Sentences  []string // what it lets the service do
	Anywhere   bool     // on every resource
	Resources  []string // ARNs, if not Anywhere
	More       int      // resources that are not listed
	Conditions bool     // it applies under conditions only
}
