package grant

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam/reference"
)

// stateMachine is the kind of Step Functions state machines, which have no
// resource policy: a consumer's workflow assumes a role in their account, and
// Step Functions then sends the ARN of the consumer's state machine as the
// external ID.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html
func stateMachine() *kind {
	executions := func(i *instance, _ *Narrowing) []string {
		return []string{strings.Replace(i.arn, ":stateMachine:", ":execution:", 1) + ":*"}
	}
	return &kind{
		name: "state-machine", title: "Step Functions state machine", service: "states",
		page: "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-access-cross-acct-resources.html",
		arn:  arnOf("states", "stateMachine:"),
		accesses: []access{
			{word: "start", doc: "start executions of a Standard workflow, and follow or stop them", rights: []right{
				{sid: "StartExecution", actions: []string{"states:StartExecution"}},
				{sid: "FollowExecution", actions: []string{"states:DescribeExecution", "states:StopExecution"}, on: executions},
			}},
			{word: "start-sync", doc: "run an Express workflow and wait for its result", rights: []right{
				{sid: "StartSyncExecution", actions: []string{"states:StartSyncExecution"}},
			}},
		},
		create: &createType{cloudFormation: "AWS::StepFunctions::StateMachine", nameProperty: "StateMachineName", arnAttribute: "Ref", also: runWorkflow},
		caveats: []string{
			"A task of the consumer's state machine names the role in Credentials.RoleArn; Step Functions then sends the ARN of that state machine as the external ID, so state_machine in the grant must be its exact name.",
			"Both state machines are in one region: Step Functions does not reach other regions with another account's role.",
			"Express workflows are run with aws-sdk:sfn:startSyncExecution; startExecution.sync cannot run them.",
			"A function behind a resource policy is the other way to do this: one more piece of code to own, with its own errors and costs, but a single point of entry, and the caller keeps its own permissions.",
			"A role in Credentials may be chosen at run time (RoleArn.$). The consumer's role can then still assume only the roles that its grants name, and permissions that would let it assume others are refused.",
			"startSyncExecution succeeds also if the workflow it ran does not: the caller must look at Status.",
			"Executions have no owner: whoever may start some may follow and stop all of that state machine, those of others too.",
			"A Standard workflow keeps what it passes on in its history for 90 days, however its logging is set. What handles secrets should be an Express workflow, with execution data left out of its logs.",
		},
	}
}

// workflow works out the external ID of a grant to a state machine of the
// consumer.
func (x *expander) workflow(e *edge) bool {
	name := e.grant.StateMachine
	if name == "" {
		return true
	}
	at := e.path + ".state_machine"
	s := e.principal.site
	if a := x.m.Accounts[s.Account]; !slices.Contains(a.Regions, e.resource.site.Region) && !e.resource.kind.anyRegion {
		x.report(x.m.problem(RuleRegion, at, "use a resource of the same region", "the resource is in %s, where the account %q has nothing; Step Functions reaches other accounts in its own region only", e.resource.site.Region, s.Account))
		return false
	}
	region := e.resource.site.Region
	if e.resource.kind.anyRegion {
		region = s.Region
	}
	name, missing := expandText(name, e.values)
	if len(missing) > 0 {
		x.report(x.m.problem(RuleValue, at, "use {stage}, {consumer_stage}, {app} or {consumer}", "%s has no meaning here", missing[0]))
		return false
	}
	e.workflow = "arn:" + s.Partition + ":states:" + region + ":" + s.ID + ":stateMachine:" + name
	if err := reference.CheckExternalID(e.workflow); err != nil || strings.ContainsAny(name, "/:") {
		x.report(x.m.problem("GX-T03", at, "rename the state machine, with letters, digits, hyphens and underscores", "the ARN of the state machine %q cannot be an external ID, and Step Functions sends it as one", clip(name)))
		return false
	}
	if e.externalID != "" {
		x.report(x.m.problem(RuleValue, at, "remove external_id from the consumer, or state_machine from the grant", "Step Functions sends the ARN of the state machine as the external ID, and no other"))
		return false
	}
	e.externalID = e.workflow
	x.checkChosen(e)
	return true
}
