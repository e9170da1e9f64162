package cfnapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A resourceType is what the sandbox knows about one type of resources.
type resourceType struct {
	name            string
	needsCapability bool   // templates with it need CAPABILITY_IAM
	nameProperty    string // the property that gives a custom name; setting it needs CAPABILITY_NAMED_IAM where a capability is needed
	properties      map[string]property
	attributes      []string // of Fn::GetAtt
	tagged          bool     // takes the stack's tags

	// The three functions do the work through the typed methods of a service.
	// Create sets physicalID as soon as there is something to delete, also
	// when it then fails. Create and update set the attributes. Delete of
	// what is gone succeeds.
	create, update, delete func(*job) error
}

// A property describes one property of a type.
type property struct {
	kind     valueKind
	required bool
	replaces bool                // a changed value needs a new resource
	fields   map[string]property // of objectValue and objectList

	// unsupported is a property that AWS has and the sandbox has not.
	unsupported bool
}

// valueKind is the type of a property's value.
type valueKind int

const (
	textValue valueKind = iota
	numberValue
	boolValue
	documentValue // a policy: an object, or its JSON as a string
	textList
	objectValue
	objectList
	anyObject // of single values, under any names
)

var tagsProperty = property{kind: objectList, fields: map[string]property{
	"Key":   {kind: textValue, required: true},
	"Value": {kind: textValue, required: true},
}}

// A job is one resource being made, changed or deleted.
type job struct {
	call       *authz.Call // who does it
	logicalID  string
	physicalID string
	properties *cfn.Node         // as resolved
	old        *cfn.Node         // update: the properties so far
	tags       []Tag             // of the property Tags and of the stack
	oldTags    []Tag             // update: the tags so far
	attributes map[string]string // for Fn::GetAtt
	newName    func(max int) string
}

// resourceTypes returns every type there is.
func resourceTypes(o Options) map[string]*resourceType {
	types := make(map[string]*resourceType)
	for _, list := range [][]resourceType{iamTypes(o.IAM), s3Types(o.S3), kmsTypes(o.KMS), secretsTypes(o.Secrets), parameterTypes(o.SSM), sqsTypes(o.SQS), kinesisTypes(o.Kinesis), dynamodbTypes(o.DynamoDB), snsTypes(o.SNS), lambdaTypes(o.Lambda), eventsTypes(o.Events), ecrTypes(o.ECR), stateMachineTypes(o.SFN), codeArtifactTypes(o.Packages), apiTypes(o.APIs), oidcTypes(o.IAM), eksTypes(o.EKS)} {
		for _, t := range list {
			types[t.name] = &t
		}
	}
	return types
}

// checkProperties checks the properties of a resource against its type, in
// CloudFormation's words.
func checkProperties(t *resourceType, properties *cfn.Node) error {
	return checkObject(t.properties, properties, "")
}

func checkObject(known map[string]property, n *cfn.Node, prefix string) error {
	for _, e := range n.Entries {
		p, ok := known[e.Key]
		if !ok {
			return invalid("Encountered unsupported property %s", prefix+e.Key)
		}
		if p.unsupported {
			return invalid("the sandbox does not support the property %s", prefix+e.Key)
		}
		if err := checkProperty(p, e.Value, prefix+e.Key); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(known) {
		if known[name].required && n.Get(name) == nil {
			return invalid("Property %s cannot be empty.", prefix+name)
		}
	}
	return nil
}

func checkProperty(p property, n *cfn.Node, name string) error {
	switch p.kind {
	case textValue:
		if !n.IsScalar() {
			return invalid("Value of property %s must be of type String", name)
		}
		if p.required && n.Text == "" && !strings.HasSuffix(name, ".Value") {
			return invalid("Property %s cannot be empty.", name)
		}
	case numberValue:
		if !n.IsScalar() || !isWholeNumber(n.Text) {
			return invalid("Value of property %s must be of type Number", name)
		}
	case boolValue:
		if !n.IsScalar() || n.Text != "true" && n.Text != "false" {
			return invalid("Value of property %s must be of type Boolean", name)
		}
	case documentValue:
		if n.Kind != cfn.NodeMap && n.Kind != cfn.NodeText {
			return invalid("Value of property %s must be an object", name)
		}
	case textList:
		if n.Kind != cfn.NodeList || slices.ContainsFunc(n.Items, func(i *cfn.Node) bool { return !i.IsScalar() }) {
			return invalid("Value of property %s must be of type List of String", name)
		}
	case objectValue:
		if n.Kind != cfn.NodeMap {
			return invalid("Value of property %s must be an object", name)
		}
		return checkObject(p.fields, n, name+".")
	case anyObject:
		if n.Kind != cfn.NodeMap || slices.ContainsFunc(n.Entries, func(e cfn.Entry) bool { return !e.Value.IsScalar() }) {
			return invalid("Value of property %s must be a Map of String", name)
		}
	case objectList:
		if n.Kind != cfn.NodeList {
			return invalid("Value of property %s must be of type List", name)
		}
		for i, item := range n.Items {
			if item.Kind != cfn.NodeMap {
				return invalid("Value of property %s must be of type List of objects", name)
			}
			if err := checkObject(p.fields, item, name+"."+strconv.Itoa(i)+"."); err != nil {
				return err
			}
		}
	}
	return nil
}

func isWholeNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && len(s) <= 18 && strings.Trim(s, "0123456789") == ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// text returns a property that is a single value, "" if it is absent.
func (j *job) text(name string) string { return textOf(j.properties, name) }

func textOf(n *cfn.Node, name string) string {
	if v := n.Get(name); v != nil {
		return v.Text
	}
	return ""
}

// number returns a property that is a whole number, nil if it is absent.
func (j *job) number(name string) *int {
	v := j.properties.Get(name)
	if v == nil {
		return nil
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil {
		return nil // checkProperties has refused it
	}
	return &n
}

// list returns a property that is a list of single values.
func list(properties *cfn.Node, name string) []string {
	var values []string
	if v := properties.Get(name); v != nil {
		for _, item := range v.Items {
			values = append(values, item.Text)
		}
	}
	return values
}

// document returns a property that is a policy as JSON text.
func document(n *cfn.Node, name string) string {
	v := n.Get(name)
	switch {
	case v == nil:
		return ""
	case v.Kind == cfn.NodeText:
		return v.Text
	}
	data, err := v.MarshalJSON()
	if err != nil {
		return ""
	}
	return string(data)
}

// changed reports whether a property differs from what it was.
func (j *job) changed(name string) bool {
	now, before := j.properties.Get(name), j.old.Get(name)
	return !now.Equal(before)
}

// nameOrNew returns the custom name, or makes one from stack and logical ID.
func (j *job) nameOrNew(property string, max int) string {
	if name := j.text(property); name != "" {
		return name
	}
	return j.newName(max)
}

// generatedName makes a name of at most max characters from the names of stack
// and resource and a random end, shortening the two evenly where they are too
// long.
func generatedName(stackName, logicalID, suffix string, max int) string {
	room := max - len(suffix) - 2
	if len(stackName)+len(logicalID) > room {
		half := room / 2
		switch {
		case len(stackName) <= half:
			logicalID = logicalID[:room-len(stackName)]
		case len(logicalID) <= room-half:
			stackName = stackName[:room-len(logicalID)]
		default:
			stackName, logicalID = stackName[:half], logicalID[:room-half]
		}
	}
	return stackName + "-" + logicalID + "-" + suffix
}

// resourceTags returns the tags a resource gets: those of its property Tags,
// and the stack's for keys it does not set itself.
func resourceTags(properties *cfn.Node, stackTags []Tag) []Tag {
	var tags []Tag
	if own := properties.Get("Tags"); own != nil {
		for _, item := range own.Items {
			tags = append(tags, Tag{Key: textOf(item, "Key"), Value: textOf(item, "Value")})
		}
		for _, e := range own.Entries { // some types have an object
			tags = append(tags, Tag{Key: e.Key, Value: e.Value.Text})
		}
	}
	own := tagMap(tags)
	for _, t := range stackTags {
		if _, set := own[t.Key]; !set {
			tags = append(tags, t)
		}
	}
	return tags
}

// diffTags returns the tags to set and the keys to remove to get from one set
// of tags to another.
func diffTags(from, to []Tag) (set []Tag, remove []string) {
	before, after := tagMap(from), tagMap(to)
	for _, t := range to {
		if v, ok := before[t.Key]; !ok || v != t.Value {
			set = append(set, t)
		}
	}
	for _, t := range from {
		if _, ok := after[t.Key]; !ok {
			remove = append(remove, t.Key)
		}
	}
	return set, remove
}

// unlessGone passes on errors other than that something does not exist.
func unlessGone(err error) error {
	if err == nil {
		return nil
	}
	switch wire.AsError(err).Code {
	case "NoSuchEntity", "NoSuchBucket", "NoSuchBucketPolicy", "NotFoundException", "ResourceNotFoundException", "ParameterNotFound", "QueueDoesNotExist", "NotFound", "RepositoryNotFoundException", "RepositoryPolicyNotFoundException":
		return nil
	}
	return err
}
