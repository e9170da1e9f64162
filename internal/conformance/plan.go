package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

const (
	// Prefix begins the name of everything that is made, and with slashes around
	// it the path of roles and policies.
	Prefix = "crossaccount-conformance"

	// TagKey is the tag of everything that is made; its value is the run.
	TagKey = "crossaccount:conformance"
)

// Sides are the accounts of a run. Resource is empty if there is only one;
// then cases across accounts are not recordable.
type Sides struct {
	Principal, Resource iam.AccountID
	Region              string

	// Secure says that AWS is reached over TLS, which conditions on
	// aws:SecureTransport see.
	Secure bool
}

// A Plan says for every case what is made for it, or why it cannot be.
type Plan struct {
	Run   string
	Sides Sides
	Items []*Item // in the order of the cases
}

// Recordable returns the items that can be made real.
func (p *Plan) Recordable() []*Item {
	return slices.DeleteFunc(slices.Clone(p.Items), func(i *Item) bool { return i.Reason != "" })
}

// An Item is one case of a plan.
type Item struct {
	Name   string
	Reason string // why it is not recordable; empty if it is

	// Case is what is really asked: the original with the names, accounts and
	// context keys that it has in the real accounts.
	Case cases.Case

	call    call
	role    roleToMake        // the principal
	session string            // its session's name
	target  roleToMake        // for calls about a role; its name may be empty
	bucket  string            // for calls about S3; may be empty
	key     string            // of the object
	object  map[string]string // its tags

	// parameters are the context keys that the call itself gives, in lower case.
	parameters map[string]string

	owner iam.AccountID // of target or bucket

	predicted eval.Verdict
}

// A roleToMake is a role of a plan.
type roleToMake struct {
	path, name string
	arn        string
	tags       map[string]string
}

// Makes lists what is made for the item, for people.
func (i *Item) Makes() []string {
	made := []string{fmt.Sprintf("role %s with %d inline policies", i.role.arn, len(i.Case.IdentityPolicies))}
	if len(i.Case.PermissionBoundaries) > 0 {
		made = append(made, fmt.Sprintf("policy %s, its permissions boundary", i.boundaryARN()))
	}
	if i.target.name != "" {
		made = append(made, fmt.Sprintf("role %s without permissions", i.target.arn))
	}
	if i.bucket != "" {
		what := fmt.Sprintf("bucket %s in account %s", i.bucket, i.owner)
		if i.Case.ResourcePolicy != nil {
			what += " with a bucket policy"
		}
		if i.key != "" {
			what += ", object " + i.key
		}
		made = append(made, what)
	}
	return made
}

func (i *Item) boundaryARN() string {
	arn, _ := iam.ParseRoleARN(i.role.arn)
	return fmt.Sprintf("arn:%s:iam::%s:policy%s%s", arn.Partition, arn.Account, i.role.path, i.role.name)
}

// NewPlan plans cases. The run names what is made; two runs at a time need
// different ones. An error means that a case is malformed.
func NewPlan(run string, sides Sides, list []cases.Case) (*Plan, error) {
	p := &Plan{Run: run, Sides: sides}
	for n := range list {
		in, err := list[n].Input()
		if err != nil {
			return nil, err
		}
		item := &Item{Name: list[n].Name, Case: list[n]}
		if item.Name == "" {
			item.Name = fmt.Sprintf("case %d", n)
		}
		if err := p.plan(item, n, in); err != nil {
			item.Reason = err.Error()
		}
		p.Items = append(p.Items, item)
	}
	return p, nil
}

func (p *Plan) plan(item *Item, n int, in *eval.Input) error {
	c := &item.Case
	switch {
	case len(c.ServiceControlPolicies) > 0 || len(c.ResourceControlPolicies) > 0:
		return fmt.Errorf("it has service or resource control policies, which belong to an organisation that the recorder does not change")
	case len(c.EndpointPolicies) > 0:
		return fmt.Errorf("it has a VPC endpoint policy; the recorder's calls do not go through an endpoint")
	case len(c.PermissionBoundaries) > 1:
		return fmt.Errorf("it has several permissions boundaries; AWS takes one")
	case len(c.Request.Unknown) > 0:
		return fmt.Errorf("it has unknown context keys; a real request has none")
	}
	call, ok := calls[strings.ToLower(c.Request.Action)]
	if !ok {
		return fmt.Errorf("the recorder cannot call %s", c.Request.Action)
	}
	item.call = call
	t, err := p.name(item, n, in.Request)
	if err != nil {
		return err
	}
	if err := item.translate(t); err != nil {
		return err
	}
	if err := item.setContext(p.Sides, in.Request); err != nil {
		return err
	}
	return item.compare(in)
}

// name chooses the names of what is made, and returns how those of the case
// become them.
func (p *Plan) name(item *Item, n int, r *iam.Request) (*translation, error) {
	t := &translation{}
	var roleARN string
	item.session = "conformance"
	switch principal := r.Principal; principal.Type {
	case iam.PrincipalRole:
		roleARN = principal.ARN
	case iam.PrincipalRoleSession:
		arn, err := iam.ParseARN(principal.ARN)
		if err != nil {
			return nil, err
		}
		part := strings.Split(arn.Resource, "/")
		if len(part) != 3 {
			return nil, fmt.Errorf("the session's ARN has no session name")
		}
		item.session = part[2]
		if roleARN = principal.RoleARN; roleARN == "" {
			roleARN = "arn:aws:iam::" + arn.Account + ":role/" + part[1]
		}
	default:
		return nil, fmt.Errorf("the principal is no role or session; the recorder makes only roles")
	}
	written, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return nil, err
	}
	if written.Partition != "aws" {
		return nil, fmt.Errorf("the recorder works in the partition aws only")
	}
	home := written.Account
	owner := r.ResourceAccount
	if arn, err := iam.ParseARN(r.Resource); err == nil && arn.Account != "" {
		owner = iam.AccountID(arn.Account)
	}
	if owner == "" {
		owner = home
	}
	item.owner = p.Sides.Principal
	if t.add(string(home), string(p.Sides.Principal), isDigit); owner != home {
		if p.Sides.Resource == "" {
			return nil, fmt.Errorf("it is about two accounts and only one is there; name the resource's account too")
		}
		item.owner = p.Sides.Resource
		t.add(string(owner), string(p.Sides.Resource), isDigit)
	}
	name := fmt.Sprintf("%s-%s-%d", Prefix, p.Run, n)
	item.role = p.role(p.Sides.Principal, written.Path, name)
	t.addRole(written, item.role)

	if err := p.nameResource(item, t, r, name, roleARN); err != nil {
		return nil, err
	}
	if called := item.calledResource(); called != "" && t.text(r.Resource) != called {
		return nil, fmt.Errorf("the resource %s would become %s, which is not what the recorder calls", r.Resource, t.text(r.Resource))
	}
	return t, nil
}

// calledResource returns the ARN of what the item's call is about; "" for
// nothing.
func (i *Item) calledResource() string {
	switch i.call.about {
	case aboutRole:
		return i.target.arn
	case aboutBucket:
		return "arn:aws:s3:::" + i.bucket
	case aboutObject:
		return "arn:aws:s3:::" + i.bucket + "/" + i.key
	case aboutNothing:
	}
	return ""
}

func (p *Plan) nameResource(item *Item, t *translation, r *iam.Request, name, roleARN string) error {
	arn, err := iam.ParseARN(r.Resource)
	switch item.call.about {
	case aboutNothing:
		return nil
	case aboutRole:
		target, err := iam.ParseRoleARN(r.Resource)
		if err != nil {
			return fmt.Errorf("the resource is not the ARN of one role")
		}
		if r.Resource == roleARN {
			return fmt.Errorf("the role is its own resource; the recorder needs the role's trust policy for itself")
		}
		item.target = p.role(item.owner, target.Path, name+"-target")
		t.addRole(target, item.target)
	case aboutBucket, aboutObject:
		if err != nil || arn.Service != "s3" {
			return fmt.Errorf("the resource is no bucket or object")
		}
		bucket, key, _ := strings.Cut(arn.Resource, "/")
		if item.call.about == aboutObject && (key == "" || strings.Trim(key, plainKey) != "") || item.call.about == aboutBucket && key != "" {
			return fmt.Errorf("the resource %s is none that %s can be called on", r.Resource, r.Action)
		}
		if strings.ContainsAny(bucket, "*?") {
			return fmt.Errorf("the resource is not one bucket")
		}
		item.bucket, item.key = name, key
		t.add("arn:aws:s3:::"+bucket, "arn:aws:s3:::"+name, isBucketCharacter)
	}
	return nil
}

// plainKey has the characters of keys that every tool writes in one way.
const plainKey = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

func (p *Plan) role(account iam.AccountID, path, name string) roleToMake {
	r := roleToMake{path: "/" + Prefix + "/" + p.Run + "/" + strings.TrimPrefix(path, "/"), name: name}
	r.arn = fmt.Sprintf("arn:aws:iam::%s:role%s%s", account, r.path, name)
	r.tags = map[string]string{TagKey: p.Run}
	return r
}

// translate rewrites the case's policies and request.
func (i *Item) translate(t *translation) error {
	c := &i.Case
	for _, policies := range []*[]cases.Policy{&c.IdentityPolicies, &c.PermissionBoundaries} {
		*policies = slices.Clone(*policies)
		for n := range *policies {
			if err := t.policy(&(*policies)[n]); err != nil {
				return err
			}
		}
	}
	for _, policy := range []**cases.Policy{&c.ResourcePolicy, &c.SessionPolicy} {
		if *policy == nil {
			continue
		}
		own := **policy
		*policy = &own
		if err := t.policy(&own); err != nil {
			return err
		}
	}
	c.Request.Resource.Resource = t.text(c.Request.Resource.Resource)
	c.Request.Resource.AccountID = i.owner
	c.Name = i.Name
	return i.setPrincipal("AROACONFORMANCEEXAMPLE")
}

// setPrincipal makes a session of the item's role the principal.
func (i *Item) setPrincipal(uniqueID string) error {
	arn, err := iam.ParseRoleARN(i.role.arn)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]string{
		"type": "RoleSession", "arn": arn.SessionARN(i.session).String(), "roleArn": i.role.arn, "uniqueId": uniqueID,
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &i.Case.Request.Principal)
}

// compare makes sure that the engine takes the translated case for the same
// question, and that its policy does not lock the owner out.
func (i *Item) compare(original *eval.Input) error {
	in, err := i.Case.Input()
	if err != nil {
		return err
	}
	before, after := eval.Decide(original), eval.Decide(in)
	if i.predicted = after.Verdict; before.Verdict != after.Verdict {
		return fmt.Errorf("made real, with the keys that AWS sets and the names the recorder uses, it is another question: the engine answers %s instead of %s", after.Verdict, before.Verdict)
	}
	if i.bucket == "" || in.Resource == nil {
		return nil
	}
	owner := &eval.Input{
		Request: &iam.Request{
			Principal: iam.Principal{Type: iam.PrincipalUser, ARN: "arn:aws:iam::" + string(i.owner) + ":user/operator", Account: i.owner},
			Action:    "s3:DeleteBucketPolicy", Resource: "arn:aws:s3:::" + i.bucket, ResourceAccount: i.owner,
		},
		Resource: in.Resource,
		Identity: everything,
	}
	owner.Request.Context.SetUnlistedUnknown()
	if d := eval.Decide(owner); d.Verdict != eval.Allowed {
		return fmt.Errorf("its bucket policy might lock the bucket's owner out")
	}
	return nil
}

var everything = func() []*eval.Policy {
	p, err := eval.Compile(&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{
		{Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"}},
	}}, iam.KindIdentity, "everything")
	if err != nil {
		panic(err) // it is a constant
	}
	return []*eval.Policy{p}
}()
