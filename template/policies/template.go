package policies

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A template is what a CloudFormation template says, read without the strictness
// of [cfn.Read]: templates for SAM and other macros are templates too.
type template struct {
	parameters map[string]*cfn.Node
	mappings   *cfn.Node
	conditions map[string]*cfn.Node
	resources  []*resource
	byName     map[string]*resource
}

type resource struct {
	name       string // the logical ID
	typ        string
	condition  string
	properties *cfn.Node
	metadata   *cfn.Node
	node       *cfn.Node
}

func newTemplate(root *cfn.Node) *template {
	t := &template{
		parameters: make(map[string]*cfn.Node), conditions: make(map[string]*cfn.Node),
		mappings: root.Get("Mappings"), byName: make(map[string]*resource),
	}
	for _, e := range entries(root.Get("Parameters")) {
		t.parameters[e.Key] = e.Value
	}
	for _, e := range entries(root.Get("Conditions")) {
		t.conditions[e.Key] = e.Value
	}
	t.addResources(root.Get("Resources"), 0)
	return t
}

// addResources reads a section of resources and, in it, loops, whose body is
// read once with the loop's variable unknown.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-foreach-example-resource.html
func (t *template) addResources(section *cfn.Node, depth int) {
	for _, e := range entries(section) {
		if strings.HasPrefix(e.Key, "Fn::ForEach") && len(e.Value.Items) == 3 && depth < 10 {
			t.addResources(e.Value.Items[2], depth+1)
			continue
		}
		r := &resource{name: e.Key, node: e.Value, properties: e.Value.Get("Properties"), metadata: e.Value.Get("Metadata")}
		if typ := e.Value.Get("Type"); typ != nil {
			r.typ = typ.Text
		}
		if c := e.Value.Get("Condition"); c != nil {
			r.condition = c.Text
		}
		t.resources = append(t.resources, r)
		t.byName[e.Key] = r
	}
}

func entries(n *cfn.Node) []cfn.Entry {
	if n == nil {
		return nil
	}
	return n.Entries
}

// find returns what Fn::FindInMap finds if its keys are written out, or nil.
func (t *template) find(argument *cfn.Node) *cfn.Node {
	if len(argument.Items) < 3 {
		return nil
	}
	n := t.mappings
	for _, key := range argument.Items[:3] {
		if !key.IsScalar() {
			return nil
		}
		if n = n.Get(key.Text); n == nil {
			return nil
		}
	}
	if n.Kind == cfn.NodeList {
		for _, item := range n.Items {
			if !item.IsScalar() {
				return nil
			}
		}
		return n
	}
	if n.IsScalar() {
		return n
	}
	return nil
}

// refARN lists the resources whose Ref is an ARN, and arnAttributes how the ARN
// that an attribute holds is made. N is the resource's name; partition, Region
// and account are filled in. The kind of resource an ARN names is then known,
// although its name is not.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
var refARN = map[string]string{
	"AWS::SNS::Topic":                  "sns:R:A:N",
	"AWS::IAM::ManagedPolicy":          "iam::A:policy/N",
	"AWS::StepFunctions::StateMachine": "states:R:A:stateMachine:N",
	"AWS::Serverless::StateMachine":    "states:R:A:stateMachine:N",
}

var arnAttributes = map[string]map[string]string{
	"AWS::S3::Bucket":                  {"Arn": "s3:::N"},
	"AWS::SQS::Queue":                  {"Arn": "sqs:R:A:N"},
	"AWS::SNS::Topic":                  {"TopicArn": "sns:R:A:N"},
	"AWS::DynamoDB::Table":             {"Arn": "dynamodb:R:A:table/N"},
	"AWS::DynamoDB::GlobalTable":       {"Arn": "dynamodb:R:A:table/N"},
	"AWS::Lambda::Function":            {"Arn": "lambda:R:A:function:N"},
	"AWS::Serverless::Function":        {"Arn": "lambda:R:A:function:N"},
	"AWS::KMS::Key":                    {"Arn": "kms:R:A:key/N"},
	"AWS::IAM::Role":                   {"Arn": "iam::A:role/N"},
	"AWS::IAM::User":                   {"Arn": "iam::A:user/N"},
	"AWS::IAM::Group":                  {"Arn": "iam::A:group/N"},
	"AWS::Kinesis::Stream":             {"Arn": "kinesis:R:A:stream/N"},
	"AWS::StepFunctions::StateMachine": {"Arn": "states:R:A:stateMachine:N"},
	"AWS::Serverless::StateMachine":    {"Arn": "states:R:A:stateMachine:N"},
	"AWS::Logs::LogGroup":              {"Arn": "logs:R:A:log-group:N:*"},
	"AWS::ECR::Repository":             {"Arn": "ecr:R:A:repository/N"},
	"AWS::Events::EventBus":            {"Arn": "events:R:A:event-bus/N"},
}

// ref returns what Ref gives: a symbol for a parameter, the ARN of some
// resources and the name of others.
func (t *template) ref(name string) string {
	r := t.byName[name]
	if r == nil || t.parameters[name] != nil {
		return iam.Symbol(name)
	}
	if shape, ok := refARN[r.typ]; ok {
		return arn(shape, t.nameOf(r))
	}
	return t.nameOf(r)
}

// attribute returns what Fn::GetAtt gives.
func (t *template) attribute(resource, attribute string) string {
	if r := t.byName[resource]; r != nil {
		if shape, ok := arnAttributes[r.typ][attribute]; ok {
			return arn(shape, t.nameOf(r))
		}
	}
	return iam.Symbol(resource + "." + attribute)
}

// nameOf stands for the name AWS gives a resource. The name of a bucket is its
// logical ID in clear, as it has no slash: the bucket's ARN is then not the ARN
// of an object. Other names may be anything.
func (t *template) nameOf(r *resource) string {
	if r.typ == "AWS::S3::Bucket" && !strings.Contains(r.name, "$") {
		return r.name
	}
	return iam.Symbol(r.name)
}

func arn(shape, name string) string {
	parts := strings.SplitN(shape, ":", 4)
	for i, part := range parts {
		switch {
		case i == 1 && part == "R":
			parts[i] = iam.Symbol("AWS::Region")
		case i == 2 && part == "A":
			parts[i] = iam.Symbol("AWS::AccountId")
		case i == 3:
			parts[i] = strings.Replace(part, "N", name, 1)
		}
	}
	return "arn:" + iam.Symbol("AWS::Partition") + ":" + strings.Join(parts, ":")
}
