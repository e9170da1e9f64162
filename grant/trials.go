package grant

import (
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// A Trial is a grant in one stage as its consumer can try it with its own
// credentials, once the plan is deployed.
type Trial struct {
	Given
	Only       Narrowing
	Consumer   Place  // where the principal is
	Owner      Place  // where the resource is
	ExternalID string // that is sent when Given.Assume is assumed, or ""

	// Workflow is the ARN of the consumer's state machine whose tasks assume
	// Given.Assume, or "". If Caller is set the plan creates it, and it does
	// nothing but run the resource.
	Workflow string
	Caller   bool

	// Routes are the methods of an API that the plan creates.
	Routes []Route

	// Declared are the requests that the grant allows, in the manifest's order.
	Declared []Declared
}

// A Place is an account and a region.
type Place struct {
	Account   string // its name in the manifest
	ID        string
	Partition string
	Region    string
	Profile   string // of the aws CLI
}

// A Route is a method of an API, with any values in the place of its path's
// parameters.
type Route struct{ Method, Path string }

// A Declared is a request that a grant allows.
type Declared struct {
	Principal string // ARN of the role that makes it, or of a whole account
	Action    string
	// Resource may have wildcards, and symbols for what only AWS knows, which
	// [Plan.Source] finds.
	Resource string
	// Companion requests are made by AWS's services for the principal, such as
	// those to the key that encrypts a resource.
	Companion bool
}

// Trials returns every grant in every stage, in the order of [Plan.Grants].
func (p *Plan) Trials() []Trial {
	all := make([]Trial, len(p.edges))
	for n, e := range p.edges {
		t := &all[n]
		*t = Trial{Given: p.Grants[n], Only: e.grant.Only, Consumer: e.principal.site.place(), Owner: e.resource.site.place()}
		t.Routes = routes(e.resource.decl)
		caller := t.Principal
		if e.assume != "" {
			t.Declared = append(t.Declared, Declared{Principal: caller, Action: "sts:AssumeRole", Resource: e.assume})
			t.ExternalID = e.externalID
			t.Workflow, t.Caller = e.workflow, e.grant.Caller != nil
			caller = e.assume
		}
		for _, h := range e.rights {
			for _, action := range h.right.actions {
				for _, resource := range h.resources {
					t.Declared = append(t.Declared, Declared{caller, action, resource, h.key})
				}
			}
		}
	}
	return all
}

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// routes reads the OpenAPI document of an API that is created.
func routes(r *Resource) []Route {
	var all []Route
	for _, path := range member(member(r.Create, "Body"), "paths") {
		methods, _ := path.Value.(template.Object)
		for _, m := range methods {
			switch method := strings.ToUpper(m.Key); method {
			case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
				all = append(all, Route{method, pathParameter.ReplaceAllString(path.Key, "1")})
			}
		}
	}
	return all
}

func (s *site) place() Place { return Place{s.Account, s.ID, s.Partition, s.Region, s.Profile} }

// A Source says where a value is found that only AWS knows.
type Source struct {
	Of        string // the resource's name in the manifest; of stream consumers, the grant's
	Stage     string
	Attribute string // "Arn" or "Id"

	// Stack creates it under LogicalID, in the resource's account.
	Stack     *Stack
	LogicalID string

	// Fed are the stacks that get it as a parameter.
	Fed []Fed
}

// A Fed is a parameter of a stack.
type Fed struct {
	Stack     *Stack
	Parameter string
}

// Source finds out where the value of a symbol in [Declared.Resource] comes from.
// It returns false for symbols that no stack of the plan explains.
func (p *Plan) Source(symbol string) (Source, bool) {
	key, attribute, ok := splitUnitValue(symbol)
	if !ok {
		return Source{}, false
	}
	parts := strings.Split(key, "/")
	for _, s := range p.Stacks() {
		for _, u := range s.units {
			if u.key != key {
				continue
			}
			of := parts[min(1, len(parts)-1)]
			if parts[0] == "stream-consumer" {
				of = parts[len(parts)-1]
			}
			source := Source{Of: of, Stage: u.stage, Attribute: attribute, Stack: s, LogicalID: u.id}
			for _, fed := range p.Stacks() {
				for _, in := range fed.Inputs {
					if in.from == s && in.FromOutput == camel(u.id, attribute) {
						source.Fed = append(source.Fed, Fed{fed, in.Parameter})
					}
				}
			}
			return source, true
		}
	}
	return Source{}, false
}

// Symbols returns the ids of the symbols in a text.
func Symbols(s string) []string {
	var ids []string
	for _, piece := range iam.Pieces(s) {
		if piece.IsSymbol {
			ids = append(ids, piece.Text)
		}
	}
	return ids
}

// Created returns where a resource of the manifest is created, if the plan
// creates it.
func (p *Plan) Created(resource, stage string) (Source, bool) {
	return p.Source("unit:resource/" + resource + "/" + stage + "#Arn")
}
