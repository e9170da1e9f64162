package world

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Problem is something wrong with a snapshot.
type Problem struct {
	Path     string       // "roles[3].trust.Statement[0].Action"
	Position iam.Position // the zero Position if the snapshot was not read
	Message  string       // the rule
}

// String returns the problem with its line, column and path.
func (p Problem) String() string {
	s := p.Path + ": " + p.Message
	if p.Path == "" {
		s = p.Message
	}
	if p.Position.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", p.Position.Line, p.Position.Column, s)
	}
	return s
}

// A SnapshotError lists what is wrong with a snapshot. It has at least one
// problem.
type SnapshotError struct{ Problems []Problem }

// Error returns the problems, one a line, the first twenty of them.
func (e *SnapshotError) Error() string {
	const limit = 20
	var lines []string
	for _, p := range e.Problems[:min(limit, len(e.Problems))] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - limit; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// Check returns a [*SnapshotError] if a value of the snapshot breaks a rule of
// the format, which docs/world.md lists. [Read] and [Compile] check too.
func (s *Snapshot) Check() error { return s.check(make(map[kindAndText]bool), true) }

// check is Check without the documents that were checked before, or without any.
func (s *Snapshot) check(checked map[kindAndText]bool, documents bool) error {
	c := checker{seen: make(map[string]string), checked: checked, documents: documents}
	c.snapshot(s)
	if len(c.problems) > 0 {
		return &SnapshotError{c.problems}
	}
	return nil
}

// A checker collects problems of a snapshot.
type checker struct {
	problems  []Problem
	seen      map[string]string // what is named where
	checked   map[kindAndText]bool
	documents bool // are to be checked
}

type kindAndText struct {
	kind iam.Kind
	text string
}

func (c *checker) report(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// once reports a name that is used twice.
func (c *checker) once(path, kind, name string) {
	key := kind + " " + name
	if first, ok := c.seen[key]; ok {
		c.report(path, "%s %q is already at %s; list it once", kind, name, first)
		return
	}
	c.seen[key] = path
}

var (
	orgID     = regexp.MustCompile(`^o-[a-z0-9]{4,32}$`)
	nodeID    = regexp.MustCompile(`^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$`)
	controlID = regexp.MustCompile(`^p-[0-9a-zA-Z_]{4,128}$`)
)

func (c *checker) snapshot(s *Snapshot) {
	if s.Format != Format {
		c.report("format", "is %d; this version reads format %d", s.Format, Format)
	}
	for i := range s.Organizations {
		c.organization(fmt.Sprintf("organizations[%d]", i), &s.Organizations[i])
	}
	for i, a := range s.Accounts {
		path := fmt.Sprintf("accounts[%d]", i)
		c.accountID(path+".id", a.ID)
		c.once(path, "account", string(a.ID))
		if _, ok := iam.LookupPartition(a.Partition); a.Partition != "" && !ok {
			c.report(path+".partition", "%q is no partition; write aws, aws-cn or aws-us-gov", a.Partition)
		}
		for j, v := range a.Complete {
			if v != CompletePrincipals && v != CompleteResources {
				c.report(fmt.Sprintf("%s.complete[%d]", path, j), "%q is neither %s nor %s", v, CompletePrincipals, CompleteResources)
			}
		}
	}
	for i, p := range s.ControlPolicies {
		path := fmt.Sprintf("control_policies[%d]", i)
		c.once(path, "control policy", p.ID)
		if !controlID.MatchString(p.ID) {
			c.report(path+".id", "%q is no id of a control policy, such as p-a1b2c3d4", p.ID)
		}
		switch p.Type {
		case TypeServiceControl:
			c.document(path+".document", p.Document, iam.KindServiceControl)
		case TypeResourceControl:
			c.document(path+".document", p.Document, iam.KindResourceControl)
		default:
			c.report(path+".type", "%q is neither %s nor %s", p.Type, TypeServiceControl, TypeResourceControl)
		}
	}
	for i, p := range s.Policies {
		path := fmt.Sprintf("policies[%d]", i)
		c.iamARN(path+".arn", p.ARN, "policy/")
		c.once(path, "policy", p.ARN)
		c.document(path+".document", p.Document, iam.KindIdentity)
		for j, v := range p.OtherVersions {
			c.document(fmt.Sprintf("%s.other_versions[%d].document", path, j), v.Document, iam.KindIdentity)
			if v.Version == "" || v.Version == p.Version {
				c.report(fmt.Sprintf("%s.other_versions[%d].version", path, j), "must name a version other than the default")
			}
		}
	}
	c.principals(s)
	for i, p := range s.Providers {
		path := fmt.Sprintf("providers[%d]", i)
		c.once(path, "provider", p.ARN)
		if accountOf(p.ARN) == "" || !strings.Contains(p.ARN, ":oidc-provider/") && !strings.Contains(p.ARN, ":saml-provider/") {
			c.report(path+".arn", "%q is not the ARN of an oidc-provider or saml-provider", p.ARN)
		}
	}
	for i := range s.Resources {
		c.resource(fmt.Sprintf("resources[%d]", i), &s.Resources[i])
	}
	for i, e := range s.Endpoints {
		path := fmt.Sprintf("endpoints[%d]", i)
		c.once(path, "endpoint", e.ID)
		if !strings.HasPrefix(e.ID, "vpce-") {
			c.report(path+".id", "%q is no id of a VPC endpoint: it begins with vpce-", e.ID)
		}
		if e.Account != "" {
			c.accountID(path+".account", e.Account)
		}
		if e.Policy != nil {
			c.document(path+".policy", *e.Policy, iam.KindEndpoint)
		}
	}
}

func (c *checker) organization(path string, o *Organization) {
	c.once(path, "organization", o.ID)
	if !orgID.MatchString(o.ID) {
		c.report(path+".id", "%q is no organisation id, such as o-a1b2c3d4e5", o.ID)
	}
	if o.ManagementAccount != "" {
		c.accountID(path+".management_account", o.ManagementAccount)
	}
	c.node(path+".root", &o.Root, 0)
}

// maxUnits is how deep organisational units may be nested.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const maxUnits = 5

func (c *checker) node(path string, n *Node, depth int) {
	if depth > maxUnits {
		c.report(path, "organisational units nest at most %d deep", maxUnits)
		return
	}
	c.once(path, "node", n.ID)
	if !nodeID.MatchString(n.ID) || strings.HasPrefix(n.ID, "r-") != (depth == 0) {
		c.report(path+".id", "%q is not the id of a root (r-…) or, below it, of a unit (ou-…)", n.ID)
	}
	c.attached(path, n.ServiceControl, n.ResourceControl)
	for i, m := range n.Accounts {
		at := fmt.Sprintf("%s.accounts[%d]", path, i)
		c.accountID(at+".id", m.ID)
		c.once(at, "account in an organisation", string(m.ID))
		c.attached(at, m.ServiceControl, m.ResourceControl)
	}
	for i := range n.Units {
		c.node(fmt.Sprintf("%s.units[%d]", path, i), &n.Units[i], depth+1)
	}
}

func (c *checker) attached(path string, service, resource []string) {
	if service != nil && len(service) == 0 {
		c.report(path+".service_control", "is empty; AWS keeps at least one SCP attached, so name it or leave the field out if SCPs are not enabled")
	}
	c.controlIDs(path+".service_control", service)
	c.controlIDs(path+".resource_control", resource)
}

func (c *checker) controlIDs(path string, ids []string) {
	for i, id := range ids {
		if !controlID.MatchString(id) {
			c.report(fmt.Sprintf("%s[%d]", path, i), "%q is no id of a control policy, such as p-a1b2c3d4", id)
		}
	}
}

func (c *checker) principals(s *Snapshot) {
	ids := func(path, id string) {
		if id != "" {
			c.once(path+".id", "unique id", id)
		}
	}
	policies := func(path string, inline []InlinePolicy, attached []string, boundary string) {
		names := make(map[string]bool)
		for i, p := range inline {
			at := fmt.Sprintf("%s.inline[%d]", path, i)
			if p.Name == "" || names[p.Name] {
				c.report(at+".name", "must be a name that no other inline policy of this principal has")
			}
			names[p.Name] = true
			c.document(at+".document", p.Document, iam.KindIdentity)
		}
		for i, arn := range attached {
			c.iamARN(fmt.Sprintf("%s.attached[%d]", path, i), arn, "policy/")
		}
		if boundary != "" {
			c.iamARN(path+".boundary", boundary, "policy/")
		}
	}
	for i := range s.Users {
		x, path := &s.Users[i], fmt.Sprintf("users[%d]", i)
		c.iamARN(path+".arn", x.ARN, "user/")
		c.once(path, "principal", x.ARN)
		ids(path, x.ID)
		policies(path, x.Inline, x.Attached, x.Boundary)
		for j, name := range x.Groups {
			if name == "" || strings.ContainsAny(name, "/:") {
				c.report(fmt.Sprintf("%s.groups[%d]", path, j), "%q is not the name of a group", name)
			}
		}
	}
	for i := range s.Groups {
		x, path := &s.Groups[i], fmt.Sprintf("groups[%d]", i)
		c.iamARN(path+".arn", x.ARN, "group/")
		c.once(path, "group", groupARN(x.ARN, lastName(x.ARN)))
		ids(path, x.ID)
		policies(path, x.Inline, x.Attached, "")
	}
	for i := range s.Roles {
		x, path := &s.Roles[i], fmt.Sprintf("roles[%d]", i)
		if _, err := iam.ParseRoleARN(x.ARN); err != nil {
			c.report(path+".arn", "%v", err)
		}
		c.once(path, "principal", x.ARN)
		ids(path, x.ID)
		c.document(path+".trust", x.Trust, iam.KindTrust)
		policies(path, x.Inline, x.Attached, x.Boundary)
	}
}

func (c *checker) resource(path string, r *Resource) {
	c.once(path, "resource", r.ARN)
	arn, err := iam.ParseARN(r.ARN)
	switch {
	case err != nil:
		c.report(path+".arn", "%v", err)
	case strings.ContainsAny(r.ARN, "*?"):
		c.report(path+".arn", "%q has a wildcard; name one resource", r.ARN)
	case arn.Service == "iam" && strings.HasPrefix(arn.Resource, "role/"):
		c.report(path+".arn", "is a role; list it under roles, with its trust policy")
	case r.Account == "" && accountOf(r.ARN) == "":
		c.report(path+".account", "must be given, because the ARN does not say whose resource it is")
	}
	if r.Account != "" {
		c.accountID(path+".account", r.Account)
		if in := accountOf(r.ARN); in != "" && in != r.Account {
			c.report(path+".account", "is %s, but the ARN says %s", r.Account, in)
		}
	}
	if r.Policy != nil {
		c.document(path+".policy", *r.Policy, iam.KindResource)
	}
}

func (c *checker) accountID(path string, id iam.AccountID) {
	if _, err := iam.ParseAccountID(string(id)); err != nil {
		c.report(path, "%v", err)
	}
}

func (c *checker) iamARN(path, s, kind string) {
	arn, err := iam.ParseARN(s)
	if err != nil || arn.Service != "iam" || !strings.HasPrefix(arn.Resource, kind) || strings.ContainsAny(s, "*? ") {
		c.report(path, "%q is not an ARN of the form arn:aws:iam::ACCOUNT:%sNAME", s, kind)
		return
	}
	if _, err := iam.ParseAccountID(arn.Account); err != nil && !(arn.Account == "aws" && kind == "policy/") {
		c.report(path, "%q does not name an account of twelve digits", s)
	}
}

// document checks that there is a policy and that it can be one of its kind.
// Documents are checked once for each kind.
func (c *checker) document(path string, d Document, kind iam.Kind) {
	if d.IsZero() {
		c.report(path, "is missing; it must be a policy document")
		return
	}
	key := kindAndText{kind, d.text}
	if !c.documents || c.checked[key] {
		return
	}
	c.checked[key] = true
	p, err := d.Policy()
	if err != nil {
		c.report(path, "%v", err)
		return
	}
	for _, problem := range p.Check(kind) {
		c.report(path+"."+problem.Path, "%s", problem.Message)
	}
}

// orgIDsIn returns the values a policy compares aws:PrincipalOrgID and
// aws:PrincipalOrgPaths with.
func orgIDsIn(p *iam.Policy) []string {
	found := make(map[string]bool)
	for i := range p.Statements {
		for _, c := range p.Statements[i].Conditions {
			if key := strings.ToLower(c.Key); key == "aws:principalorgid" || key == "aws:principalorgpaths" {
				for _, v := range c.Values {
					found[v] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
