// Package ssmapi is the parameter store of the sandbox's Systems Manager. The
// rest of that service is not there.
//
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/Welcome.html
package ssmapi

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
)

// forwardedBy is the service principal that calls KMS for callers.
const forwardedBy = "ssm.amazonaws.com"

// A Service is the parameter store of all accounts and regions of a sandbox.
// It is safe for concurrent use.
type Service struct {
	directory *directory.Directory
	kms       *kmsapi.Service

	mu         sync.RWMutex
	parameters map[place]map[string]*parameter // by name
}

type place struct {
	account iam.AccountID
	region  string
}

func here(c *authz.Call) place { return place{c.Account(), c.Region} }

// A parameter keeps its versions; the last one is current.
type parameter struct {
	place
	partition string
	name      string
	versions  []version
	tags      []directory.Tag
}

type version struct {
	kind        string // String, StringList, SecureString
	value       string // of a SecureString: what KMS made of it
	keyID       string
	description string
	changed     time.Time
	by          string
}

// New returns a service without parameters.
func New(d *directory.Directory, kms *kmsapi.Service) *Service {
	return &Service{directory: d, kms: kms, parameters: make(map[place]map[string]*parameter)}
}

// ServeAPI answers one request whose signature the sandbox has verified.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	table.Serve(s, w, r, c)
}

// Operations lists the operations of the parameter store.
func Operations() []overview.Operation { return table.List() }

var table = awsjson.Table[*Service]{Service: "ssm", Target: "AmazonSSM", Version: "1.1", Operations: append([]awsjson.Operation[*Service]{
	awsjson.Real("DeleteParameter", "", (*Service).DeleteParameter),
	awsjson.Real("DeleteParameters", "", (*Service).DeleteParameters),
	awsjson.Real("DescribeParameters", "no filters", (*Service).DescribeParameters),
	awsjson.Real("GetParameter", "no labels, no sharing with other accounts", (*Service).GetParameter),
	awsjson.Real("GetParameters", "no labels", (*Service).GetParameters),
	awsjson.Real("GetParametersByPath", "no filters", (*Service).GetParametersByPath),
	awsjson.Real("PutParameter", "no policies, no allowed pattern, no data types but text", (*Service).PutParameter),
	awsjson.Real("AddTagsToResource", "of parameters", (*Service).AddTagsToResource),
	awsjson.Real("ListTagsForResource", "of parameters", (*Service).ListTagsForResource),
	awsjson.Real("RemoveTagsFromResource", "of parameters", (*Service).RemoveTagsFromResource),
}, awsjson.Missing[*Service]("DeleteResourcePolicy GetParameterHistory GetResourcePolicies LabelParameterVersion PutResourcePolicy UnlabelParameterVersion")...)}

// arn of a parameter: a name that begins with a slash is not given another one.
func arnOf(partition string, p place, name string) string {
	return "arn:" + partition + ":ssm:" + p.region + ":" + string(p.account) + ":parameter/" + strings.TrimPrefix(name, "/")
}

func (p *parameter) arn() string { return arnOf(p.partition, p.place, p.name) }

func (p *parameter) current() version { return p.versions[len(p.versions)-1] }

// Overview shows the parameters' names, and no values.
func (s *Service) Overview() []overview.Section {
	s.mu.RLock()
	defer s.mu.RUnlock()
	section := overview.Section{Title: "Parameters", Columns: []string{"Parameter", "Type"}}
	for _, parameters := range s.parameters {
		for _, p := range parameters {
			section.Rows = append(section.Rows, []string{p.arn(), p.current().kind})
		}
	}
	slices.SortFunc(section.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return []overview.Section{section}
}
