package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// A Workflow is what a state machine does that the plan creates: it returns
// {"secret": …}, from a cache if there is one, in which it has not expired.
type Workflow struct {
	Secret   string `key:"secret,required" doc:"The resource of kind secret that the workflow reads."`
	Function string `key:"function" doc:"The resource of kind lambda-function that makes of the secret what the workflow returns, such as a token: it gets {secret} and answers with {secret}, and if there is a cache also with until (a timestamp) and expires (the same in seconds since 1970)."`
	Cache    string `key:"cache" doc:"The resource of kind dynamodb-table in which the workflow keeps what the function made until it expires. Its key is the string id. If the plan creates the table, it is encrypted with a key of KMS and deletes what has expired."`
}

// A Caller is a state machine of a consumer that the plan creates, and the
// parameter in which it finds what to call.
type Caller struct {
	Parameter string `key:"parameter,required" doc:"The name of the SSM parameter; may contain placeholders." pattern:"/[A-Za-z0-9{}_./-]+"`
	Secret    string `key:"secret" doc:"Becomes the member secret of the parameter, for workflows that ask which secret is wanted: a name, no value." pattern:"[A-Za-z0-9/_+=.@{}-]{1,512}"`
}

// workflowParts are the resources that a workflow uses.
type workflowParts struct{ secret, function, cache *instance }

func (w *workflowParts) list() []*instance {
	if w == nil {
		return nil
	}
	return slices.DeleteFunc([]*instance{w.secret, w.function, w.cache}, func(i *instance) bool { return i == nil })
}

// parts finds the resources that the workflow of a state machine uses.
func (x *expander) parts(i *instance) *workflowParts {
	w := i.decl.Workflow
	if w == nil {
		return nil
	}
	p := &workflowParts{secret: x.instance(w.Secret, i.stage)}
	if w.Function != "" {
		p.function = x.instance(w.Function, i.stage)
	}
	if w.Cache != "" {
		p.cache = x.instance(w.Cache, i.stage)
	}
	for _, part := range p.list() {
		if part.site != i.site {
			x.report(x.m.problem(RuleRegion, i.path+".workflow", "use resources of one app and region", "the workflow is in %s (%s) and %q in %s (%s)", i.site.Account, i.site.Region, part.name, part.site.Account, part.site.Region))
		}
	}
	return p
}

// workflowOf checks the workflow of a resource.
func (v *validator) workflowOf(at string, r Resource, k *kind) {
	w := r.Workflow
	switch {
	case w == nil && k.name == "state-machine" && r.Create != nil && (!hasKey(r.Create, "RoleArn") || !hasKey(r.Create, "Definition") && !hasKey(r.Create, "DefinitionString")):
		v.report(v.m.problem(RuleMissing, at+".create", "add workflow, and the plan writes both, or add RoleArn and Definition", "a state machine needs a role and a definition"))
		return
	case w == nil:
		return
	case k.name != "state-machine" || r.Create == nil:
		v.report(v.m.problem(RuleValue, at+".workflow", "remove it, or add create to a state machine", "only a state machine that the plan creates has a workflow"))
		return
	case hasKey(r.Create, "RoleArn"):
		v.report(v.m.problem(RuleValue, at+".create.RoleArn", "remove it", "the plan creates the role of the workflow"))
	case w.Cache != "" && w.Function == "":
		v.report(v.m.problem(RuleMissing, at+".workflow", "add function, which says how long its result is good", "a cache needs to know when what it keeps expires, and a definition cannot work that out"))
	}
	for _, part := range []struct{ field, name, kind string }{{"secret", w.Secret, "secret"}, {"function", w.Function, "lambda-function"}, {"cache", w.Cache, "dynamodb-table"}} {
		if part.name == "" {
			continue
		}
		here := at + ".workflow." + part.field
		other, ok := v.m.Resources[part.name]
		if !ok {
			v.report(v.m.unknown(here, "resource", part.name, sortedKeys(v.m.Resources)))
			continue
		}
		if other.Kind != part.kind {
			v.report(v.m.problem(RuleReference, here, "name a resource of kind "+part.kind, "%q is of kind %s", part.name, other.Kind))
		}
		if part.field == "cache" && other.Create != nil {
			v.cache("resources."+part.name+".create", other.Create)
		}
	}
}

// cache refuses what would leave secrets in a table for longer than they are
// good, or unencrypted. What is missing is added.
func (v *validator) cache(at string, create template.Object) {
	for _, setting := range []struct{ property, field string }{{"TimeToLiveSpecification", "Enabled"}, {"SSESpecification", "SSEEnabled"}} {
		if o := member(create, setting.property); hasKey(create, setting.property) && !slices.Contains(o, template.Member{Key: setting.field, Value: true}) {
			v.report(v.m.problem(RuleValue, at+"."+setting.property, "set "+setting.field+": true, or leave it out", "the table keeps secrets of a workflow: they must be encrypted and deleted when they have expired"))
		}
	}
	if o := member(create, "TimeToLiveSpecification"); o != nil && !slices.Contains(o, template.Member{Key: "AttributeName", Value: "expires"}) {
		v.report(v.m.problem(RuleValue, at+".TimeToLiveSpecification", "set AttributeName: expires, or leave it out", "the workflow writes when an item expires into the attribute expires"))
	}
}

// createParts adds the resources that a workflow uses.
func (b *builder) createParts(i *instance, e *edge) {
	for _, part := range i.parts.list() {
		b.createResource(part, e)
		b.createResource(part.key, e)
	}
	if i.parts == nil || i.parts.cache == nil || !i.parts.cache.created() {
		return
	}
	u, ok := b.units[i.parts.cache.unitKey()]
	if !ok {
		return // a problem was reported
	}
	table := u.kind.(*template.Generic)
	for _, m := range []template.Member{
		{Key: "AttributeDefinitions", Value: []any{template.Object{{Key: "AttributeName", Value: "id"}, {Key: "AttributeType", Value: "S"}}}},
		{Key: "KeySchema", Value: []any{template.Object{{Key: "AttributeName", Value: "id"}, {Key: "KeyType", Value: "HASH"}}}},
		{Key: "BillingMode", Value: "PAY_PER_REQUEST"},
		{Key: "TimeToLiveSpecification", Value: template.Object{{Key: "AttributeName", Value: "expires"}, {Key: "Enabled", Value: true}}},
	} {
		if !hasKey(table.Properties, m.Key) {
			table.Properties = append(table.Properties, m)
		}
	}
	setPath(&table.Properties, []string{"SSESpecification", "SSEEnabled"}, true)
	setPath(&table.Properties, []string{"SSESpecification", "SSEType"}, "KMS")
}

// runWorkflow completes a state machine that the plan creates, and makes its
// role.
func runWorkflow(b *builder, i *instance, machine *template.Generic) []*unit {
	add := func(key string, value any) {
		if !hasKey(machine.Properties, key) {
			machine.Properties.Add(key, value)
		}
	}
	// Express workflows keep no history, and their logs show no data unless
	// somebody wants them to.
	add("StateMachineType", "EXPRESS")
	add("LoggingConfiguration", template.Object{{Key: "Level", Value: "OFF"}, {Key: "IncludeExecutionData", Value: false}})
	if i.parts == nil {
		return nil
	}
	name := i.physical + "-workflow"
	if err := reference.CheckRoleName(name); err != nil {
		b.report(b.m.problem(RuleValue, i.path+".name", "shorten the name of the state machine", "the role of the workflow %q: %v", i.name, err))
		return nil
	}
	key := i.unitKey() + "/role"
	machine.Properties.Add("RoleArn", unitValue(key, "Arn"))
	if !hasKey(machine.Properties, "DefinitionString") {
		add("Definition", i.parts.definition())
	}
	role := &template.Role{
		Name: name, Description: clipTo(fmt.Sprintf("Used by the state machine %s of %s in stage %s", i.name, i.app, i.stage), 1000),
		Trust:  serviceTrust("states.amazonaws.com", i.site, []string{i.arn}),
		Inline: []template.InlinePolicy{{Name: "workflow", Document: i.parts.permissions()}},
		Tags:   b.tags(b.ownerOf(i), i.app, i.stage, nil),
	}
	return []*unit{{key: key, id: camel(i.name, "WorkflowRole"), site: i.site, stage: i.stage, phase: phasePolicies, path: i.path, kind: role}}
}

// permissions is what the role of a workflow may do: read the secret, read and
// write the cache, call the function, and use the keys of the three.
func (w *workflowParts) permissions() *iam.Policy {
	p := &iam.Policy{Version: iam.Version2012}
	for _, part := range w.list() {
		s := iam.Statement{Sid: "ReadSecret", Effect: iam.Allow, Action: []string{"secretsmanager:GetSecretValue"}, Resource: []string{part.arnInStack()}}
		switch part {
		case w.function:
			s.Sid, s.Action = "CallFunction", []string{"lambda:InvokeFunction"}
		case w.cache:
			s.Sid, s.Action = "UseCache", []string{"dynamodb:GetItem", "dynamodb:PutItem"}
		}
		p.Statements = append(p.Statements, s)
		if part.key != nil && part != w.function {
			p.Statements = append(p.Statements, iam.Statement{
				Sid: "UseKey", Effect: iam.Allow, Action: []string{"kms:Decrypt"}, Resource: []string{part.key.arnInStack()},
				Conditions: condition("StringEquals", "kms:ViaService", part.kind.via+"."+part.site.Region+"."+dnsSuffix(part.site.Partition)),
			})
		}
	}
	uniqueSids(p)
	return p
}

// object makes an object of keys and values by turns.
func object(pairs ...any) template.Object {
	var o template.Object
	for i := 0; i < len(pairs); i += 2 {
		o.Add(pairs[i].(string), pairs[i+1])
	}
	return o
}

// tryAgain is what AWS recommends for calls of functions.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
func tryAgain() []any {
	return []any{object("ErrorEquals", []any{"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"},
		"IntervalSeconds", 1, "MaxAttempts", 3, "BackoffRate", 2)}
}

// definition is the workflow in the Amazon States Language. An item in the cache
// counts while its time has not come: DynamoDB deletes it some time later.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html
func (w *workflowParts) definition() template.Object {
	states := template.Object{}
	start := "ReadSecret"
	id := object("S", w.secret.name)
	if w.cache != nil {
		start = "LookIntoCache"
		states.Add(start, object("Type", "Task", "Resource", "arn:"+w.cache.site.Partition+":states:::dynamodb:getItem",
			"Parameters", object("TableName", w.cache.nameInStack(), "Key", object("id", id), "ConsistentRead", true),
			"ResultPath", "$.cache", "Next", "IsInCache"))
		states.Add("IsInCache", object("Type", "Choice", "Choices", []any{object(
			"And", []any{
				object("Variable", "$.cache.Item.until.S", "IsPresent", true),
				object("Variable", "$.cache.Item.until.S", "TimestampGreaterThanPath", "$$.State.EnteredTime"),
			}, "Next", "ReturnCached")}, "Default", "ReadSecret"))
		states.Add("ReturnCached", object("Type", "Pass", "Parameters", object("secret.$", "$.cache.Item.secret.S"), "End", true))
	}
	states.Add("ReadSecret", object("Type", "Task", "Resource", "arn:"+w.secret.site.Partition+":states:::aws-sdk:secretsmanager:getSecretValue",
		"Parameters", object("SecretId", w.secret.secretID()), "ResultSelector", object("secret.$", "$.SecretString"),
		"ResultPath", "$.made", "Next", "Return"))
	if w.function != nil {
		setNext(states, "ReadSecret", "CallFunction")
		made := object("secret.$", "$.Payload.secret")
		if w.cache != nil {
			made = object("secret.$", "$.Payload.secret", "until.$", "$.Payload.until", "expires.$", "$.Payload.expires")
		}
		states.Add("CallFunction", object("Type", "Task", "Resource", "arn:"+w.function.site.Partition+":states:::lambda:invoke",
			"Parameters", object("FunctionName", w.function.arnInStack(), "Payload", object("secret.$", "$.made.secret")),
			"ResultSelector", made, "ResultPath", "$.made", "Retry", tryAgain(), "Next", "Return"))
	}
	if w.cache != nil {
		setNext(states, "CallFunction", "KeepInCache")
		states.Add("KeepInCache", object("Type", "Task", "Resource", "arn:"+w.cache.site.Partition+":states:::dynamodb:putItem",
			"Parameters", object("TableName", w.cache.nameInStack(), "Item", object(
				"id", id, "secret", object("S.$", "$.made.secret"), "until", object("S.$", "$.made.until"), "expires", object("N.$", "States.Format('{}', $.made.expires)"))),
			"ResultPath", "$.kept", "Next", "Return")) // not null, which templates cannot have
	}
	states.Add("Return", object("Type", "Pass", "Parameters", object("secret.$", "$.made.secret"), "End", true))
	return object("Comment", "Returns the secret "+w.secret.name+". Made by crossaccount from a manifest.", "StartAt", start, "States", states)
}

func setNext(states template.Object, name, next string) {
	o := member(states, name)
	for i := range o {
		if o[i].Key == "Next" {
			o[i].Value = next
		}
	}
}

// caller checks the calling state machine of a grant.
func (v *validator) caller(at string, g *Grant, consumer Consumer) {
	c := g.Caller
	if c == nil {
		return
	}
	v.placeholders(at+".caller.parameter", c.Parameter)
	v.placeholders(at+".caller.secret", c.Secret)
	role := g.Role
	if role == nil {
		role = consumer.Role
	}
	switch {
	case g.StateMachine == "":
		v.report(v.m.problem(RuleMissing, at+".caller", "add state_machine to the grant", "the calling state machine needs a name"))
	case role == nil || role.Create != "states.amazonaws.com":
		v.report(v.m.problem(RuleValue, at+".caller", "let the plan create the consumer's role: create: states.amazonaws.com", "the calling state machine runs with the consumer's role, which must be one for Step Functions"))
	case v.m.Resources[g.Resource].Kind != "state-machine" || !slices.Contains(g.Access, "start-sync"):
		v.report(v.m.problem(RuleValue, at+".caller", "grant start-sync on a state machine", "the calling state machine runs an Express workflow of the other account"))
	}
}

// checkChosen refuses permissions that would let a state machine assume other
// roles than those of its grants: which one it assumes is in a parameter.
func (x *expander) checkChosen(e *edge) {
	role := e.principal.role
	if role == nil || e.workflow == "" {
		return
	}
	at := e.path + ".role"
	if e.grant.Role == nil {
		at = "consumers." + e.grant.Consumer + ".role"
	}
	for n, p := range role.Permissions {
		if slices.ContainsFunc(p.Actions, func(a string) bool { return iam.MatchWildcard(strings.ToLower(a), "sts:assumerole") }) {
			x.report(x.m.problem("GX-T08", fmt.Sprintf("%s.permissions[%d]", at, n), "grant the roles instead, or use another role for this state machine",
				"the role may assume roles that no grant names, and the state machine %s can be told at run time which one to assume", e.workflow))
		}
	}
	for n, arn := range role.Policies {
		if strings.HasSuffix(arn, ":iam::aws:policy/AdministratorAccess") {
			x.report(x.m.problem("GX-T08", fmt.Sprintf("%s.policies[%d]", at, n), "give the role what its state machine needs", "AdministratorAccess lets the state machine %s assume any role that trusts it", e.workflow))
		}
	}
}

// callingWorkflow makes the calling state machine of a grant, and its parameter.
func (b *builder) callingWorkflow(e *edge) {
	c := e.grant.Caller
	if c == nil || e.assume == "" {
		return
	}
	s := e.principal.site
	values := map[string]string{}
	for k, v := range e.values {
		values[k] = v
	}
	values["region"], values["account"] = s.Region, s.ID
	parameter, _ := expandText(c.Parameter, values)
	arn := "arn:" + s.Partition + ":ssm:" + s.Region + ":" + s.ID + ":parameter" + parameter
	configuration := object("trustingAccountRoleArn", e.assume, "trustingAccountWorkflowArn", e.resource.arn)
	if c.Secret != "" {
		secret, _ := expandText(c.Secret, values)
		configuration.Add("secret", secret)
	}
	b.permissionsOf(e).add(statement{fixed: true, Statement: iam.Statement{
		Sid: camel("Read", e.grant.Name, "Configuration"), Effect: iam.Allow, Action: []string{"ssm:GetParameter"}, Resource: []string{arn},
	}})
	if b.options.Format == Policies {
		return
	}
	r := b.roles["role/"+s.ID+"/"+e.principal.name]
	name := e.workflow[strings.LastIndexByte(e.workflow, ':')+1:]
	tags := b.tags(r.owner, r.app, e.principal.stage, []string{e.grant.Name})
	description := "What the state machine " + name + " calls"
	definition := callerDefinition(s.Partition, parameter)
	for _, u := range []*unit{
		{key: "parameter/" + arn, id: camel(e.grant.Name, "Configuration"), kind: &template.Generic{
			TypeName: "AWS::SSM::Parameter",
			Properties: template.Object{
				{Key: "Name", Value: parameter}, {Key: "Type", Value: "String"}, {Key: "Value", Value: jsonText(configuration)}, {Key: "Description", Value: description}, {Key: "Tags", Value: tagMap(tags)},
			},
			Terraform: []template.Block{{Type: "aws_ssm_parameter", Arguments: template.Object{
				{Key: "name", Value: parameter}, {Key: "type", Value: "String"}, {Key: "value", Value: jsonText(configuration)}, {Key: "description", Value: description}, {Key: "tags", Value: tagMap(tags)},
			}}},
		}},
		{key: "caller/" + e.workflow, id: camel(name, "StateMachine"), needs: []string{r.key}, kind: &template.Generic{
			TypeName: "AWS::StepFunctions::StateMachine",
			// A Standard workflow would keep what it returns in its history for 90
			// days. An Express one keeps nothing, if its logs are without data.
			Properties: template.Object{
				{Key: "StateMachineName", Value: name}, {Key: "StateMachineType", Value: "EXPRESS"}, {Key: "RoleArn", Value: e.principal.arn}, {Key: "Definition", Value: definition},
				{Key: "LoggingConfiguration", Value: object("Level", "OFF", "IncludeExecutionData", false)}, {Key: "Tags", Value: tagList(tags)},
			},
			Attributes: map[string]string{"Arn": "Ref"},
			Terraform: []template.Block{{Type: "aws_sfn_state_machine", Attributes: map[string]string{"Arn": "arn"}, Arguments: template.Object{
				{Key: "name", Value: name}, {Key: "type", Value: "EXPRESS"}, {Key: "role_arn", Value: e.principal.arn}, {Key: "definition", Value: jsonText(definition)},
				{Key: "logging_configuration", Value: object("level", "OFF", "include_execution_data", false)}, {Key: "tags", Value: tagMap(tags)},
			}}},
		}},
	} {
		u.site, u.stage, u.phase, u.path, u.owner, u.app, u.grants = s, e.principal.stage, phaseIntegrations, e.path, r.owner, r.app, []string{e.grant.Name}
		if other, ok := b.units[u.key]; ok && jsonText(other.kind.(*template.Generic).Properties) != jsonText(u.kind.(*template.Generic).Properties) {
			b.report(b.m.problem(RuleCollision, e.path+".caller", "give each grant its own parameter and state_machine", "the grants %s and %q would create %s twice, differently", few(other.grants), e.grant.Name, u.key[strings.IndexByte(u.key, '/')+1:]))
		}
		b.unit(u)
	}
}

// WorkflowFailed is the error of a calling state machine, made for [Caller], whose
// task ran the workflow of the other account, which did not succeed.
const WorkflowFailed = "WorkflowFailed"

// callerDefinition is the calling workflow: it reads the parameter, runs the
// workflow of the other account with the role of that account, and returns what
// that returned.
func callerDefinition(partition, parameter string) template.Object {
	const refused = "the workflow in the other account did not succeed; it shows its error to those who may see it there"
	return object(
		"Comment", "Runs a workflow of another account. Made by crossaccount from a manifest.",
		"StartAt", "ReadConfiguration",
		"States", object(
			"ReadConfiguration", object("Type", "Task", "Resource", "arn:"+partition+":states:::aws-sdk:ssm:getParameter",
				"Parameters", object("Name", parameter), "ResultSelector", object("configuration.$", "States.StringToJson($.Parameter.Value)"), "Next", "RunWorkflow"),
			"RunWorkflow", object("Type", "Task", "Resource", "arn:"+partition+":states:::aws-sdk:sfn:startSyncExecution",
				"Credentials", object("RoleArn.$", "$.configuration.trustingAccountRoleArn"),
				"Parameters", object("StateMachineArn.$", "$.configuration.trustingAccountWorkflowArn", "Input.$", "States.JsonToString($.configuration)"),
				"Next", "HasSucceeded"),
			// The call succeeds also if the workflow does not.
			"HasSucceeded", object("Type", "Choice", "Choices", []any{object("Variable", "$.Status", "StringEquals", "SUCCEEDED", "Next", "Return")}, "Default", "Refuse"),
			"Refuse", object("Type", "Fail", "Error", WorkflowFailed, "Cause", refused),
			"Return", object("Type", "Pass", "Parameters", object("output.$", "States.StringToJson($.Output)"), "OutputPath", "$.output", "End", true),
		))
}
