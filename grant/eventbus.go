package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// eventBus is the kind of EventBridge buses. Each statement of a bus policy is a
// resource of its own, so nothing is ever overwritten.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-permissions-manage.html
func eventBus() *kind {
	return &kind{
		name: "event-bus", title: "EventBridge event bus", service: "events",
		page: "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html",
		arn:  arnOf("events", "event-bus/"),
		accesses: []access{
			{word: "put", doc: "put events on the bus", rights: []right{
				{sid: "PutEvents", actions: []string{"events:PutEvents"}, when: func(_ *instance, n *Narrowing) []iam.Condition {
					return append(condition("StringEquals", "events:source", n.Sources...), condition("StringEquals", "events:detail-type", n.DetailTypes...)...)
				}},
			}},
		},
		narrowing: []string{"sources", "detail_types"},
		policy: &policyType{
			service: "events", single: true,
			resource: func(i *instance, sid string, p *iam.Policy) (string, template.Object) {
				return "AWS::Events::EventBusPolicy", template.Object{
					{Key: "EventBusName", Value: i.nameInStack()}, {Key: "StatementId", Value: sid}, {Key: "Statement", Value: template.Statement(p.Statements[0])},
				}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_cloudwatch_event_bus_policy", Arguments: template.Object{{Key: "event_bus_name", Value: i.physical}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::Events::EventBus", nameProperty: "Name", arnAttribute: "Arn", policies: []string{"Policy"}},
		caveats: []string{
			"Whoever puts the event pays for it.",
			"In Terraform the policy of a bus is one document and replaces what is there; in CloudFormation each statement is a resource.",
			"Rules of the consumer that send to this bus need a role that may put events, given as RoleArn of the target.",
		},
	}
}
