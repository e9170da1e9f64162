package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// A kind is everything the compiler knows about one kind of resource. It is a
// table: compiling, explaining and checking all read the same rows.
type kind struct {
	name     string // in manifests: "s3-bucket"
	title    string // for people: "S3 bucket"
	service  string // prefix of its actions: "s3"
	page     string // AWS's page about sharing it
	accesses []access
	caveats  []string // what people must know before they share one

	// arn returns the ARN of a resource, from its name or id. Parts that are not
	// known yet are symbols.
	arn func(i *instance) string

	needsDomain bool     // repositories of CodeArtifact are in a domain
	needsID     bool     // resources have an id besides the name, which ARNs use
	anyRegion   bool     // ARNs have no region: buckets and roles
	narrowing   []string // the fields of only that apply

	policy *policyType // the resource policy; nil if the service has none
	create *createType // how a resource is created; nil if it cannot be here

	limited   bool                                        // its throughput is shared by all who use it, so roles are named
	toTokens  bool                                        // what consumers' tools hold is a token of their own identity, so a role would only be in their way
	trust     string                                      // how consumers are recognised by default in the policy; "" for named
	roleNames func(e *edge) string                        // the name of the role for via role; nil for the usual one
	near      func(i *instance, resource string) []string // neighbours of a resource that Check tries

	// encryption is what resources have that do not say; "" if the kind is not
	// encrypted with keys of KMS. via is the service's name for kms:ViaService.
	encryption, via string
	// keyContext returns the encryption context the service uses.
	keyContext func(i *instance) []iam.Condition
}

// An access is a word that a grant may use, and what it means.
type access struct {
	word, doc string
	readOnly  bool
	rights    []right
	key       []string // actions on the key, if the resource is encrypted with one
	ignores   []string // fields of a narrowing that cannot narrow it
	fanOut    bool     // what it gives needs registered stream consumers
	methods   []string // of APIs: HTTP methods; an asterisk stands for all
}

// side says in which policies a right belongs.
type side int

const (
	bothSides    side = iota
	consumerSide      // what resource policies cannot grant, or need not
	resourceSide      // what only the resource's policy says
)

// A right is one statement, on each side.
type right struct {
	sid     string
	actions []string
	// on returns the resources; nil means the resource's own ARN.
	on func(i *instance, n *Narrowing) []string
	// when returns conditions that narrow the right; it may be nil.
	when func(i *instance, n *Narrowing) []iam.Condition
	// wanted says whether the right applies with this narrowing; nil means always.
	wanted func(i *instance, n *Narrowing) bool
	side   side
	part   string // the part of the resource whose policy grants it: "" is the resource
}

func (r right) resources(i *instance, n *Narrowing) []string {
	if r.on == nil {
		return []string{i.arn}
	}
	return r.on(i, n)
}

func (r right) conditions(i *instance, n *Narrowing) []iam.Condition {
	if r.when == nil {
		return nil
	}
	return r.when(i, n)
}

// A policyType says how the policy of a resource is written.
type policyType struct {
	service string // for limits and lint: "kms"

	// resource returns the type and properties of the policy as a resource of
	// its own. Nil if CloudFormation only knows it as a property of the resource
	// itself; then property names that property.
	resource func(i *instance, part string, document *iam.Policy) (cloudFormation string, properties template.Object)
	property string

	terraform func(i *instance, part string, document *iam.Policy) template.Block

	// put and remove are the aws commands for policies of existing resources
	// that CloudFormation cannot write. %s in put is the document's file.
	put, remove func(i *instance, part string) []string
	// wrap makes the file that put takes, if that is not the document itself.
	wrap func(p *iam.Policy) ([]byte, error)
	// then are commands that must follow every change of the policy.
	then func(i *instance) [][]string
	// local is how the policy names a resource; nil means by its ARN.
	local func(i *instance, arn string) string

	// bare policies have no Resource element; star policies name "*".
	bare, star bool
	// base returns statements without which the policy would lock out its owner.
	base func(i *instance) []iam.Statement
	// single services keep every statement as a resource of its own.
	single bool
	// unconditional services cannot have conditions on the principal.
	unconditional bool
}

// A createType says how CloudFormation creates a resource.
type createType struct {
	cloudFormation string
	nameProperty   string
	keyProperty    string // the property that takes the key's ARN, with dots for nesting
	// keyNeeds are properties without which the key's is refused, likewise.
	keyNeeds template.Object
	// encrypt sets the key where one property does not do.
	encrypt      func(g *template.Generic, key string)
	arnAttribute string // "Ref", or the attribute of Fn::GetAtt
	idAttribute  string
	fixed        template.Object // properties that it always has
	policies     []string        // properties that hold policies, with dots for nesting
	// also makes what the resource needs besides, when its policy is known.
	also func(b *builder, i *instance, g *template.Generic) []*unit
}

// Kinds returns the names of all kinds of resources, sorted.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}

func kindByName(name string) *kind {
	for _, k := range kinds() {
		if k.name == name {
			return k
		}
	}
	return nil
}

func (k *kind) access(word string) *access {
	for i := range k.accesses {
		if k.accesses[i].word == word {
			return &k.accesses[i]
		}
	}
	return nil
}

func (k *kind) words() []string {
	var words []string
	for _, a := range k.accesses {
		words = append(words, a.word)
	}
	return words
}

// arnOf is the function arn of kinds whose ARNs are a prefix and the name.
func arnOf(service, prefix string) func(*instance) string {
	return func(i *instance) string {
		return fmt.Sprintf("arn:%s:%s:%s:%s:%s%s", i.site.Partition, service, i.site.Region, i.site.ID, prefix, i.physical)
	}
}

// condition returns one condition, or none if there are no values.
func condition(operator, key string, values ...string) []iam.Condition {
	if len(values) == 0 {
		return nil
	}
	return []iam.Condition{{Operator: operator, Key: key, Values: values}}
}

// everything is for actions that have no resource.
func everything(*instance, *Narrowing) []string { return []string{"*"} }

// given returns the names of the fields of a narrowing that are set.
func (n *Narrowing) given() []string {
	var names []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"prefixes", len(n.Prefixes) > 0}, {"object_tags", len(n.ObjectTags) > 0}, {"indexes", len(n.Indexes) > 0},
		{"keys", len(n.Keys) > 0}, {"attributes", len(n.Attributes) > 0}, {"versions", len(n.Versions) > 0},
		{"qualifier", n.Qualifier != ""}, {"sources", len(n.Sources) > 0}, {"detail_types", len(n.DetailTypes) > 0},
		{"protocols", len(n.Protocols) > 0}, {"methods", len(n.Methods) > 0}, {"paths", len(n.Paths) > 0},
		{"api_stages", len(n.APIStages) > 0}, {"vpc_endpoints", len(n.Endpoints) > 0},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

// suffixed appends a suffix to each text.
func suffixed(list []string, suffix string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, strings.TrimSuffix(s, "*")+suffix)
	}
	return out
}

// narrowable returns the fields of a narrowing that apply. Every policy that can
// have conditions can ask for VPC endpoints.
func (k *kind) narrowable() []string {
	if k.policy == nil || k.policy.unconditional || slices.Contains(k.narrowing, "vpc_endpoints") {
		return k.narrowing
	}
	return append(slices.Clone(k.narrowing), "vpc_endpoints")
}

// one returns the kind with its article: "an S3 bucket".
func (k *kind) one() string {
	for _, spoken := range []string{"S3", "SQS", "SNS", "IAM", "ECR", "Event", "EKS", "HTTP"} {
		if strings.HasPrefix(k.title, spoken) {
			return "an " + k.title
		}
	}
	return "a " + k.title
}
