package policies

import (
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// cloudFormation finds the policies of a template.
func (f *finder) cloudFormation() {
	f.textual = true
	for _, r := range f.template.resources {
		p := place{where: "/Resources/" + r.name + "/Properties", construct: f.constructOf(r), condition: r.condition}
		if r.properties == nil || r.properties.Kind != cfn.NodeMap {
			continue
		}
		if transformed(r.properties) {
			f.unread(p.where, r.properties.Position, "a macro adds to the resource when the template is used")
		}
		f.names(r, p)
		known, ok := attachments[r.typ]
		for _, a := range known {
			f.attached(r, a, p)
		}
		switch r.typ {
		case "AWS::Lambda::Permission", "AWS::Lambda::LayerVersionPermission":
			f.permission(r, p)
		case "AWS::Events::EventBusPolicy":
			f.eventBusPolicy(r, p)
		case "AWS::Organizations::Policy":
			f.organizationPolicy(r, p)
		case "AWS::Serverless::Function", "AWS::Serverless::StateMachine":
			f.serverlessPolicies(r, p)
		default:
			if !ok && !isOtherLanguage(r.typ) {
				f.documents(r.properties, p)
			}
		}
		switch r.typ {
		case "AWS::StepFunctions::StateMachine", "AWS::Serverless::StateMachine":
			f.stateMachineResource(r, p)
		}
	}
}

func isOtherLanguage(typ string) bool {
	for _, prefix := range otherLanguages {
		if strings.HasPrefix(typ, prefix) {
			return true
		}
	}
	return false
}

// constructOf returns the path of the CDK construct that made a resource.
func (f *finder) constructOf(r *resource) string {
	if n := r.metadata.Get("aws:cdk:path"); n != nil && n.Kind == cfn.NodeText {
		return n.Text
	}
	return f.options.Constructs[r.name]
}

// attached adds the policies of a resource at one path.
func (f *finder) attached(r *resource, a attachment, p place) {
	p.kind, p.service, p.inline, p.except = a.kind, a.service, a.inline, a.except
	if a.kind == iam.KindResource || a.kind == iam.KindTrust {
		p.resource = f.attachedTo(r, a)
	}
	f.follow(r.properties, strings.Split(a.path, "/"), p)
}

// follow walks along a path, into both branches of every Fn::If on the way.
func (f *finder) follow(n *cfn.Node, path []string, p place) {
	if n == nil {
		return
	}
	if len(path) == 0 {
		f.policyOrStatements(n, p)
		return
	}
	if name, argument, ok := n.Function(); ok {
		switch {
		case name == "Fn::If" && len(argument.Items) == 3:
			f.follow(argument.Items[1], path, below(p, "Fn::If/1"))
			f.follow(argument.Items[2], path, below(p, "Fn::If/2"))
		case name == "Ref" && argument.Text == "AWS::NoValue":
		default:
			f.unread(p.where, n.Position, "the value is known only after deployment")
		}
		return
	}
	if path[0] != "*" {
		f.follow(n.Get(path[0]), path[1:], below(p, path[0]))
		return
	}
	for i, item := range n.Items {
		f.follow(item, path[1:], below(p, strconv.Itoa(i)))
	}
}

func below(p place, name string) place {
	p.where += "/" + name
	return p
}

// policyOrStatements adds a policy. A list stands for its statements, as in
// SAM's CustomStatements.
func (f *finder) policyOrStatements(n *cfn.Node, p place) {
	if n.Kind == cfn.NodeList {
		n = wrapped(n)
	}
	f.add(n, p)
}

// wrapped makes a policy of a list of statements.
func wrapped(statements *cfn.Node) *cfn.Node {
	return object(statements.Position, "Version", text(iam.Version2012, statements.Position), "Statement", statements)
}

func text(s string, at iam.Position) *cfn.Node {
	return &cfn.Node{Kind: cfn.NodeText, Text: s, Position: at}
}

// object makes a map of keys and nodes in turn. Nodes that are nil are left out.
func object(at iam.Position, pairs ...any) *cfn.Node {
	n := &cfn.Node{Kind: cfn.NodeMap, Position: at}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v, ok := pairs[i+1].(*cfn.Node); ok && v != nil {
			n.Entries = append(n.Entries, cfn.Entry{Key: pairs[i].(string), KeyPosition: v.Position, Value: v})
		}
	}
	return n
}

// attachedTo returns the ARN of what a policy is attached to, or nothing if that
// cannot be seen.
func (f *finder) attachedTo(r *resource, a attachment) string {
	at := &resolver{source: f.source, template: f.template}
	if a.on == "" {
		if shape, ok := arnAttributes[r.typ]["Arn"]; ok {
			return arn(shape, f.template.nameOf(r))
		}
		return ""
	}
	n := r.properties.Get(a.on)
	if n == nil || len(conditionNames(n)) > 0 {
		return ""
	}
	if n.Kind == cfn.NodeList {
		if len(n.Items) != 1 {
			return "" // the policy of several resources cannot name one
		}
		n = n.Items[0]
	}
	if name, argument, ok := n.Function(); ok && name == "Ref" {
		if target := f.template.byName[argument.Text]; target != nil {
			if shape, ok := refARN[target.typ]; ok {
				return arn(shape, f.template.nameOf(target))
			}
			if shape, ok := arnAttributes[target.typ]["Arn"]; ok {
				return arn(shape, f.template.nameOf(target))
			}
		}
		return ""
	}
	s := at.text(n)
	switch {
	case strings.HasPrefix(s, "arn:"):
		return s
	case r.typ == "AWS::S3::BucketPolicy" && !iam.HasSymbol(s) && n.IsScalar():
		return arn("s3:::N", s)
	}
	return ""
}

// documents finds policies in a resource of an unknown type, such as a custom
// resource, by what they look like.
func (f *finder) documents(n *cfn.Node, p place) {
	n.Walk(func(path string, n *cfn.Node) bool {
		if !looksLikePolicy(n) {
			return true
		}
		p := p
		p.where += path
		f.add(n, p)
		return false
	})
}

// looksLikePolicy reports whether a map has statements with effects.
func looksLikePolicy(n *cfn.Node) bool {
	statement := n.Get("Statement")
	if statement == nil {
		return false
	}
	if statement.Kind == cfn.NodeMap {
		return statement.Get("Effect") != nil
	}
	for _, item := range statement.Items {
		if item.Get("Effect") != nil && (item.Get("Action") != nil || item.Get("NotAction") != nil) {
			return true
		}
	}
	return false
}

// permission makes a statement of the properties of a Lambda permission, as
// Lambda itself does.
//
// https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
func (f *finder) permission(r *resource, p place) {
	get := r.properties.Get
	at := r.node.Position
	p.kind, p.service = iam.KindResource, "lambda"
	p.where = strings.TrimSuffix(p.where, "/Properties")
	principal := get("Principal")
	if principal == nil || get("Action") == nil {
		f.unread(p.where, at, "the permission names no principal or no action")
		return
	}
	key := "AWS"
	switch s := (&resolver{source: f.source, template: f.template}).text(principal); {
	case strings.Contains(s, ".amazon") || strings.Contains(s, ".") && !strings.HasPrefix(s, "arn:"):
		key = "Service"
	case iam.HasSymbol(s) && !strings.HasPrefix(s, "arn:"):
		if pieces := iam.Pieces(s); len(pieces) == 1 {
			break
		}
		key = "Service" // "events.${AWS::URLSuffix}"
	}
	conditions := object(at)
	condition := func(operator, name string, value *cfn.Node) {
		if value == nil {
			return
		}
		for _, e := range conditions.Entries {
			if e.Key == operator {
				e.Value.Entries = append(e.Value.Entries, cfn.Entry{Key: name, KeyPosition: value.Position, Value: value})
				return
			}
		}
		conditions.Entries = append(conditions.Entries, cfn.Entry{Key: operator, KeyPosition: value.Position, Value: object(value.Position, name, value)})
	}
	condition("ArnLike", "aws:SourceArn", get("SourceArn"))
	condition("StringEquals", "aws:SourceAccount", get("SourceAccount"))
	condition("StringEquals", "aws:PrincipalOrgID", get("PrincipalOrgID"))
	condition("StringEquals", "aws:PrincipalOrgID", get("OrganizationId"))
	condition("StringEquals", "lambda:FunctionUrlAuthType", get("FunctionUrlAuthType"))
	condition("StringEquals", "lambda:EventSourceToken", get("EventSourceToken"))
	condition("Bool", "lambda:InvokedViaFunctionUrl", get("InvokedViaFunctionUrl"))
	statement := object(at, "Effect", text(string(iam.Allow), at), "Principal", object(principal.Position, key, principal), "Action", get("Action"))
	resource := get("FunctionName")
	if resource == nil {
		resource = get("LayerVersionArn")
	}
	if resource != nil {
		// The property may be a name, a part of an ARN or an ARN: whichever it
		// is, the statement is about that function.
		statement.Entries = append(statement.Entries, cfn.Entry{Key: "Resource", KeyPosition: resource.Position, Value: object(resource.Position, "Ref", text(r.name+".Function", resource.Position))})
	}
	if len(conditions.Entries) > 0 {
		statement.Entries = append(statement.Entries, cfn.Entry{Key: "Condition", KeyPosition: conditions.Entries[0].KeyPosition, Value: conditions})
	}
	f.add(wrapped(&cfn.Node{Kind: cfn.NodeList, Position: at, Items: []*cfn.Node{statement}}), p)
}

// eventBusPolicy reads the two ways of writing one statement for an event bus.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html
func (f *finder) eventBusPolicy(r *resource, p place) {
	get := r.properties.Get
	p.kind, p.service = iam.KindResource, "events"
	if s := get("Statement"); s != nil {
		p.where += "/Statement"
		f.add(wrapped(&cfn.Node{Kind: cfn.NodeList, Position: s.Position, Items: []*cfn.Node{s}}), p)
		return
	}
	principal, at := get("Principal"), r.node.Position
	p.where = strings.TrimSuffix(p.where, "/Properties")
	if principal == nil {
		f.unread(p.where, at, "the policy has neither Statement nor Principal")
		return
	}
	action := get("Action")
	if action == nil {
		action = text("events:PutEvents", at)
	}
	statement := object(at, "Effect", text(string(iam.Allow), at), "Action", action,
		"Resource", object(at, "Ref", text(r.name+".EventBus", at)))
	if principal.Kind == cfn.NodeText && principal.Text == "*" {
		statement.Entries = append(statement.Entries, cfn.Entry{Key: "Principal", KeyPosition: principal.Position, Value: principal})
	} else {
		statement.Entries = append(statement.Entries, cfn.Entry{Key: "Principal", KeyPosition: principal.Position, Value: object(principal.Position, "AWS", principal)})
	}
	if c := get("Condition"); c != nil && c.Get("Key") != nil && c.Get("Type") != nil && c.Get("Type").IsScalar() && c.Get("Key").IsScalar() {
		block := object(c.Position, c.Get("Key").Text, c.Get("Value"))
		statement.Entries = append(statement.Entries, cfn.Entry{Key: "Condition", KeyPosition: c.Position, Value: object(c.Position, c.Get("Type").Text, block)})
	}
	f.add(wrapped(&cfn.Node{Kind: cfn.NodeList, Position: at, Items: []*cfn.Node{statement}}), p)
}

// organizationPolicy reads those policies of an organisation that are written in
// IAM's language.
func (f *finder) organizationPolicy(r *resource, p place) {
	typ := (&resolver{source: f.source, template: f.template}).text(r.properties.Get("Type"))
	switch typ {
	case "SERVICE_CONTROL_POLICY":
		p.kind = iam.KindServiceControl
	case "RESOURCE_CONTROL_POLICY":
		p.kind = iam.KindResourceControl
	default:
		if iam.HasSymbol(typ) {
			f.unread(p.where, r.properties.Position, "the type of the policy is known only after deployment")
		}
		return
	}
	f.add(r.properties.Get("Content"), below(p, "Content"))
}

// serverlessPolicies reads the Policies of a SAM function: documents, statements,
// names of managed policies, and templates of SAM's own, which are not IAM's.
//
// https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
func (f *finder) serverlessPolicies(r *resource, p place) {
	p.kind, p.inline = iam.KindIdentity, true
	p.where += "/Policies"
	f.serverlessPolicy(r.properties.Get("Policies"), p)
}

func (f *finder) serverlessPolicy(n *cfn.Node, p place) {
	if n == nil {
		return
	}
	if name, argument, ok := n.Function(); ok {
		if name == "Fn::If" && len(argument.Items) == 3 {
			f.serverlessPolicy(argument.Items[1], below(p, "Fn::If/1"))
			f.serverlessPolicy(argument.Items[2], below(p, "Fn::If/2"))
		}
		return // the name of a managed policy
	}
	switch {
	case n.Kind == cfn.NodeList:
		for i, item := range n.Items {
			f.serverlessPolicy(item, below(p, strconv.Itoa(i)))
		}
	case n.Get("Statement") != nil:
		f.add(n, p)
	}
}
