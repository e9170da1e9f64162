package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/eventsapi"
)

// eventsTypes returns the types of AWS::Events.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_Events.html
func eventsTypes(events *eventsapi.Service) []resourceType {
	t := eventResources{events}
	return []resourceType{
		{
			name: "AWS::Events::EventBus",
			properties: map[string]property{
				"DeadLetterConfig": {unsupported: true}, "Description": {replaces: true}, "EventSourceName": {unsupported: true},
				"KmsKeyIdentifier": {unsupported: true}, "LogConfig": {unsupported: true},
				"Name": {required: true, replaces: true}, "Policy": {kind: documentValue}, "Tags": tagsProperty,
			},
			attributes: []string{"Arn", "Name"},
			tagged:     true,
			create:     t.createBus, update: t.updateBus, delete: t.deleteBus,
		},
		{
			name: "AWS::Events::EventBusPolicy",
			properties: map[string]property{
				"Action": {}, "Principal": {}, "EventBusName": {replaces: true}, "Statement": {kind: documentValue}, "StatementId": {required: true, replaces: true},
				"Condition": {kind: objectValue, fields: map[string]property{"Key": {}, "Type": {}, "Value": {}}},
			},
			create: t.putStatement, update: t.putStatement, delete: t.removeStatement,
		},
		{
			name: "AWS::Events::Rule",
			properties: map[string]property{
				"Description": {}, "EventBusName": {replaces: true}, "EventPattern": {kind: documentValue}, "Name": {replaces: true},
				"RoleArn": {unsupported: true}, "ScheduleExpression": {unsupported: true}, "State": {}, "Tags": {unsupported: true},
				"Targets": {kind: objectList, fields: map[string]property{"Arn": {required: true}, "Id": {required: true}, "RoleArn": {}}},
			},
			attributes: []string{"Arn"},
			create:     t.createRule, update: t.updateRule, delete: t.deleteRule,
		},
	}
}

// eventResources does the work of the AWS::Events types.
type eventResources struct{ events *eventsapi.Service }

func (t eventResources) createBus(j *job) error {
	in := &eventsapi.CreateEventBusInput{Name: j.text("Name"), Description: j.text("Description")}
	for _, tag := range j.tags {
		in.Tags = append(in.Tags, eventsapi.Tag(tag))
	}
	out, err := t.events.CreateEventBus(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = j.text("Name")
	j.attributes["Arn"], j.attributes["Name"] = out.EventBusARN, j.physicalID
	return t.putPolicy(j)
}

func (t eventResources) putPolicy(j *job) error {
	if j.properties.Get("Policy") == nil {
		return nil
	}
	_, err := t.events.PutPermission(j.call, &eventsapi.PutPermissionInput{EventBusName: j.physicalID, Policy: document(j.properties, "Policy")})
	return err
}

func (t eventResources) updateBus(j *job) error {
	shown, err := t.events.DescribeEventBus(j.call, &eventsapi.BusInput{Name: j.physicalID})
	if err != nil {
		return err
	}
	j.attributes["Arn"], j.attributes["Name"] = shown.ARN, shown.Name
	set, remove := diffTags(j.oldTags, j.tags)
	tags := &eventsapi.TagsInput{ResourceARN: shown.ARN, TagKeys: remove}
	for _, tag := range set {
		tags.Tags = append(tags.Tags, eventsapi.Tag(tag))
	}
	if len(remove) > 0 {
		if _, err := t.events.UntagResource(j.call, tags); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.events.TagResource(j.call, tags); err != nil {
			return err
		}
	}
	if j.properties.Get("Policy") == nil && j.old.Get("Policy") != nil {
		_, err := t.events.RemovePermission(j.call, &eventsapi.RemovePermissionInput{EventBusName: j.physicalID, RemoveAllPermissions: true})
		return unlessGone(err)
	}
	return t.putPolicy(j)
}

func (t eventResources) deleteBus(j *job) error {
	_, err := t.events.DeleteEventBus(j.call, &eventsapi.BusInput{Name: j.physicalID})
	return err // a bus that is gone is a success
}

func (t eventResources) putStatement(j *job) error {
	bus, sid := j.text("EventBusName"), j.text("StatementId")
	var err error
	if j.properties.Get("Statement") != nil {
		err = t.events.PutStatement(j.call, bus, sid, document(j.properties, "Statement"))
	} else {
		in := &eventsapi.PutPermissionInput{EventBusName: bus, StatementID: sid, Action: j.text("Action"), Principal: j.text("Principal")}
		if k := j.properties.Get("Condition"); k != nil {
			in.Condition = &eventsapi.Condition{Type: textOf(k, "Type"), Key: textOf(k, "Key"), Value: textOf(k, "Value")}
		}
		_, err = t.events.PutPermission(j.call, in)
	}
	if err != nil {
		return err
	}
	if bus == "" {
		bus = "default"
	}
	j.physicalID = bus + "|" + sid
	return nil
}

func (t eventResources) removeStatement(j *job) error {
	_, err := t.events.RemovePermission(j.call, &eventsapi.RemovePermissionInput{EventBusName: j.text("EventBusName"), StatementID: j.text("StatementId")})
	return unlessGone(err)
}

func (t eventResources) createRule(j *job) error {
	name, bus := j.nameOrNew("Name", 64), j.text("EventBusName")
	j.physicalID = name
	if bus != "" && bus != "default" {
		j.physicalID = bus + "|" + name
	}
	return t.putRule(j, name)
}

// ruleName is the end of the physical id, which names the bus too unless it is
// the default one.
func (j *job) ruleName() string { return j.physicalID[strings.LastIndexByte(j.physicalID, '|')+1:] }

func (t eventResources) putRule(j *job, name string) error {
	out, err := t.events.PutRule(j.call, &eventsapi.PutRuleInput{
		Name: name, EventBusName: j.text("EventBusName"), EventPattern: document(j.properties, "EventPattern"), State: j.text("State"), Description: j.text("Description"),
	})
	if err != nil {
		return err
	}
	j.attributes["Arn"] = out.RuleARN
	var targets []eventsapi.Target
	if list := j.properties.Get("Targets"); list != nil {
		for _, item := range list.Items {
			targets = append(targets, eventsapi.Target{ID: textOf(item, "Id"), ARN: textOf(item, "Arn"), RoleARN: textOf(item, "RoleArn")})
		}
	}
	if len(targets) == 0 {
		return nil
	}
	_, err = t.events.PutTargets(j.call, &eventsapi.PutTargetsInput{Rule: name, EventBusName: j.text("EventBusName"), Targets: targets})
	return err
}

func (t eventResources) updateRule(j *job) error {
	if err := t.removeTargets(j); err != nil {
		return err
	}
	return t.putRule(j, j.ruleName())
}

func (t eventResources) removeTargets(j *job) error {
	listed, err := t.events.ListTargetsByRule(j.call, &eventsapi.ListTargetsByRuleInput{Rule: j.ruleName(), EventBusName: j.text("EventBusName")})
	if err != nil {
		return err
	}
	in := &eventsapi.RemoveTargetsInput{Rule: j.ruleName(), EventBusName: j.text("EventBusName")}
	for _, target := range listed.Targets {
		in.IDs = append(in.IDs, target.ID)
	}
	if len(in.IDs) == 0 {
		return nil
	}
	_, err = t.events.RemoveTargets(j.call, in)
	return err
}

func (t eventResources) deleteRule(j *job) error {
	if err := t.removeTargets(j); err != nil {
		return unlessGone(err)
	}
	_, err := t.events.DeleteRule(j.call, &eventsapi.RuleInput{Name: j.ruleName(), EventBusName: j.text("EventBusName")})
	return unlessGone(err)
}
