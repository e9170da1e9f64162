package cfnapi

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/apigatewayapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/codeartifactapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ecrapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/eksapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/eventsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/lambdaapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/secretsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/snsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sqsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ssmapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// forwardedBy is the service principal that calls other services for stacks.
const forwardedBy = "cloudformation.amazonaws.com"

// Options configures a [Service]. All fields but Step are required.
type Options struct {
	Clock  func() time.Time
	Random io.Reader // ids and the random ends of generated names

	// Step is how long each step of a stack operation takes, about one per
	// resource. Zero means that operations are over when their request has
	// been answered; then nobody can see them in progress.
	Step time.Duration

	IAM      *iamapi.Service
	S3       *s3api.Service
	KMS      *kmsapi.Service
	Secrets  *secretsapi.Service
	SSM      *ssmapi.Service
	SQS      *sqsapi.Service
	Kinesis  *kinesisapi.Service
	DynamoDB *dynamodbapi.Service
	APIs     *apigatewayapi.Service
	SNS      *snsapi.Service
	Events   *eventsapi.Service
	ECR      *ecrapi.Service
	Packages *codeartifactapi.Service
	Lambda   *lambdaapi.Service
	SFN      *sfnapi.Service
	EKS      *eksapi.Service

	// IAMDelay is how long changes of principals take until policies may name
	// them. Operations wait that long for principals made by the same stack.
	IAMDelay time.Duration

	// Fetch reads a template from the sandbox's S3. A call that is not nil is
	// who reads, through CloudFormation; it is nil for presigned URLs, which
	// carry their own signature. Errors are CloudFormation's: ValidationError.
	Fetch func(c *authz.Call, u *url.URL) ([]byte, error)
}

// A Service is CloudFormation for all accounts of a sandbox. It is safe for
// concurrent use.
type Service struct {
	options Options
	types   map[string]*resourceType

	random sync.Mutex // guards options.Random

	mu         sync.Mutex
	stacks     []*stack // oldest first; deleted ones stay, as AWS shows them for 90 days
	operations []*operation
}

// New returns a service without stacks.
func New(o Options) *Service {
	return &Service{options: o, types: resourceTypes(o)}
}

// ServeAPI answers one request that has been authenticated.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	s.Advance(c.Now)
	action, out, err := s.serve(r, c)
	s.Advance(s.options.Clock())
	if err != nil {
		wire.WriteQueryError(w, wire.NamespaceCloudFormation, c.RequestID, wire.AsError(err))
		return
	}
	wire.WriteQuery(w, action, wire.NamespaceCloudFormation, c.RequestID, out)
}

func (s *Service) serve(r *http.Request, c *authz.Call) (action string, out any, err error) {
	if err := r.ParseForm(); err != nil {
		return "", nil, wire.BadRequest("MalformedInput", "the request body cannot be read as form parameters")
	}
	action = r.Form.Get("Action")
	c.Operation = action
	if c.Caller.Anonymous() {
		return "", nil, wire.Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	if version := r.Form.Get("Version"); version != "2010-05-15" {
		return "", nil, wire.BadRequest("InvalidAction", "Could not find operation %s for version %s", clip(action), clip(version))
	}
	run, ok := operations[action]
	if !ok {
		if notImplemented[action] {
			return "", nil, wire.NotImplemented("cloudformation", action)
		}
		return "", nil, wire.BadRequest("InvalidAction", "Could not find operation %s for version 2010-05-15", clip(action))
	}
	out, err = run(s, c, r.Form)
	return action, out, err
}

// operations is what is real.
var operations = map[string]func(*Service, *authz.Call, url.Values) (any, error){
	"CreateChangeSet":             decoded((*Service).CreateChangeSet),
	"CreateStack":                 decoded((*Service).CreateStack),
	"DeleteChangeSet":             decoded((*Service).DeleteChangeSet),
	"DeleteStack":                 decoded((*Service).DeleteStack),
	"DescribeChangeSet":           decoded((*Service).DescribeChangeSet),
	"DescribeStackEvents":         decoded((*Service).DescribeStackEvents),
	"DescribeStackResource":       decoded((*Service).DescribeStackResource),
	"DescribeStackResources":      decoded((*Service).DescribeStackResources),
	"DescribeStacks":              decoded((*Service).DescribeStacks),
	"ExecuteChangeSet":            decoded((*Service).ExecuteChangeSet),
	"GetTemplate":                 decoded((*Service).GetTemplate),
	"GetTemplateSummary":          decoded((*Service).GetTemplateSummary),
	"ListChangeSets":              decoded((*Service).ListChangeSets),
	"ListExports":                 decoded((*Service).ListExports),
	"ListImports":                 decoded((*Service).ListImports),
	"ListStackResources":          decoded((*Service).ListStackResources),
	"ListStacks":                  decoded((*Service).ListStacks),
	"UpdateStack":                 decoded((*Service).UpdateStack),
	"UpdateTerminationProtection": decoded((*Service).UpdateTerminationProtection),
	"ValidateTemplate":            decoded((*Service).ValidateTemplate),
}

// notImplemented is what CloudFormation has and the sandbox has not.
var notImplemented = setOf(`
	ActivateOrganizationsAccess ActivateType BatchDescribeTypeConfigurations CancelUpdateStack
	ContinueUpdateRollback CreateGeneratedTemplate CreateStackInstances CreateStackRefactor CreateStackSet
	DeactivateOrganizationsAccess DeactivateType DeleteGeneratedTemplate DeleteStackInstances DeleteStackSet
	DeregisterType DescribeAccountLimits DescribeChangeSetHooks DescribeEvents DescribeGeneratedTemplate
	DescribeOrganizationsAccess DescribePublisher DescribeResourceScan DescribeStackDriftDetectionStatus
	DescribeStackInstance DescribeStackRefactor DescribeStackResourceDrifts DescribeStackSet
	DescribeStackSetOperation DescribeType DescribeTypeRegistration DetectStackDrift DetectStackResourceDrift
	DetectStackSetDrift EstimateTemplateCost ExecuteStackRefactor GetGeneratedTemplate GetHookResult
	GetStackPolicy ImportStacksToStackSet ListGeneratedTemplates ListHookResults
	ListResourceScanRelatedResources ListResourceScanResources ListResourceScans ListStackInstanceResourceDrifts
	ListStackInstances ListStackRefactorActions ListStackRefactors ListStackSetAutoDeploymentTargets
	ListStackSetOperationResults ListStackSetOperations ListStackSets ListTypeRegistrations ListTypes
	ListTypeVersions PublishType RecordHandlerProgress RegisterPublisher RegisterType RollbackStack
	SetStackPolicy SetTypeConfiguration SetTypeDefaultVersion SignalResource StartResourceScan
	StopStackSetOperation TestType UpdateGeneratedTemplate UpdateStackInstances UpdateStackSet`)

func setOf(words string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// decoded makes an operation of a typed method.
func decoded[In, Out any](f func(*Service, *authz.Call, *In) (*Out, error)) func(*Service, *authz.Call, url.Values) (any, error) {
	return func(s *Service, c *authz.Call, form url.Values) (any, error) {
		var in In
		if err := wire.DecodeQuery(form, &in); err != nil {
			return nil, err
		}
		out, err := f(s, c, &in)
		if err != nil {
			return nil, err
		}
		if _, empty := any(out).(*Empty); empty {
			return nil, nil
		}
		return out, nil
	}
}

// authorize asks whether the caller may act on a stack, which is nil if there
// is none yet.
func (s *Service) authorize(c *authz.Call, action, resource string, st *stack, more func(*authz.Query)) error {
	q := authz.Query{Action: "cloudformation:" + action, Resource: resource}
	if st != nil && st.revision != nil {
		q.ResourceTags = st.revision.tags
	}
	if more != nil {
		more(&q)
	}
	return c.Authorize(q)
}

func (s *Service) randomBytes(n int) []byte {
	s.random.Lock()
	defer s.random.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(s.options.Random, b); err != nil {
		panic(fmt.Sprintf("cfnapi: reading randomness: %v", err)) // ids would collide
	}
	return b
}

// uuid returns a random UUID.
func (s *Service) uuid() string {
	b := s.randomBytes(16)
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

const nameAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// suffix returns twelve random letters and digits, the end of a generated name.
func (s *Service) suffix() string {
	b := s.randomBytes(12)
	for i := range b {
		b[i] = nameAlphabet[int(b[i])%len(nameAlphabet)]
	}
	return string(b)
}
