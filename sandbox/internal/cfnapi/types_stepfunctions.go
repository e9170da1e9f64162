package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
)

// stateMachineTypes returns the types of AWS::StepFunctions.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_StepFunctions.html
func stateMachineTypes(sfn *sfnapi.Service) []resourceType {
	t := machineResources{sfn}
	group := map[string]property{"CloudWatchLogsLogGroup": {kind: objectValue, fields: map[string]property{"LogGroupArn": {required: true}}}}
	return []resourceType{{
		name: "AWS::StepFunctions::StateMachine", tagged: true,
		properties: map[string]property{
			"Definition": {kind: documentValue}, "DefinitionString": {}, "DefinitionSubstitutions": {kind: anyObject}, "DefinitionS3Location": {unsupported: true},
			"EncryptionConfiguration": {unsupported: true},
			"LoggingConfiguration": {kind: objectValue, fields: map[string]property{
				"Destinations": {kind: objectList, fields: group}, "IncludeExecutionData": {kind: boolValue}, "Level": {},
			}},
			"RoleArn": {required: true}, "StateMachineName": {replaces: true}, "StateMachineType": {replaces: true}, "Tags": tagsProperty,
			"TracingConfiguration": {kind: objectValue, fields: map[string]property{"Enabled": {kind: boolValue}}},
		},
		attributes: []string{"Arn", "Name", "StateMachineRevisionId"},
		create:     t.create, update: t.update, delete: t.delete,
	}}
}

// machineResources does the work of AWS::StepFunctions::StateMachine.
type machineResources struct{ sfn *sfnapi.Service }

// definition returns the definition with ${name} replaced. A name without a
// substitution stays, as in AWS.
func (t machineResources) definition(j *job) (string, error) {
	text, object := j.text("DefinitionString"), document(j.properties, "Definition")
	if (text == "") == (object == "") {
		return "", invalid("exactly one of Definition, DefinitionString and DefinitionS3Location must be specified")
	}
	text += object
	if substitutions := j.properties.Get("DefinitionSubstitutions"); substitutions != nil {
		var pairs []string
		for _, e := range substitutions.Entries {
			pairs = append(pairs, "${"+e.Key+"}", e.Value.Text)
		}
		text = strings.NewReplacer(pairs...).Replace(text)
	}
	return text, nil
}

func (t machineResources) logging(j *job) *sfnapi.Logging {
	logging := &sfnapi.Logging{Level: "OFF"}
	if n := j.properties.Get("LoggingConfiguration"); n != nil {
		if level := textOf(n, "Level"); level != "" {
			logging.Level = level
		}
		logging.IncludeExecutionData = isTrue(n, "IncludeExecutionData")
		if destinations := n.Get("Destinations"); destinations != nil {
			for _, item := range destinations.Items {
				var d sfnapi.Destination
				if group := item.Get("CloudWatchLogsLogGroup"); group != nil {
					d.Group.ARN = textOf(group, "LogGroupArn")
				}
				logging.Destinations = append(logging.Destinations, d)
			}
		}
	}
	return logging
}

func (t machineResources) tracing(j *job) *sfnapi.Tracing {
	n := j.properties.Get("TracingConfiguration")
	return &sfnapi.Tracing{Enabled: n != nil && isTrue(n, "Enabled")}
}

func (t machineResources) create(j *job) error {
	definition, err := t.definition(j)
	if err != nil {
		return err
	}
	in := &sfnapi.CreateStateMachineInput{
		Name: j.nameOrNew("StateMachineName", 80), Definition: definition, RoleARN: j.text("RoleArn"), Type: asl.Kind(j.text("StateMachineType")),
		Logging: t.logging(j), Tracing: t.tracing(j),
	}
	for _, tag := range j.tags {
		in.Tags = append(in.Tags, sfnapi.Tag{Key: tag.Key, Value: tag.Value})
	}
	out, err := t.sfn.CreateStateMachine(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.ARN
	t.attributes(j, "")
	return nil
}

// attributes sets what Fn::GetAtt shows. A state machine that was never updated
// has the revision INITIAL.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_PublishStateMachineVersion.html
func (t machineResources) attributes(j *job, revision string) {
	if revision == "" {
		revision = "INITIAL"
	}
	j.attributes["Arn"], j.attributes["StateMachineRevisionId"] = j.physicalID, revision
	j.attributes["Name"] = j.physicalID[strings.LastIndexByte(j.physicalID, ':')+1:]
}

func (t machineResources) update(j *job) error {
	definition, err := t.definition(j)
	if err != nil {
		return err
	}
	out, err := t.sfn.UpdateStateMachine(j.call, &sfnapi.UpdateStateMachineInput{
		ARN: j.physicalID, Definition: &definition, RoleARN: j.text("RoleArn"), Logging: t.logging(j), Tracing: t.tracing(j),
	})
	if err != nil {
		return err
	}
	t.attributes(j, out.Revision)
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.sfn.UntagResource(j.call, &sfnapi.UntagInput{ARN: j.physicalID, Keys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		in := &sfnapi.TagInput{ARN: j.physicalID}
		for _, tag := range set {
			in.Tags = append(in.Tags, sfnapi.Tag{Key: tag.Key, Value: tag.Value})
		}
		_, err = t.sfn.TagResource(j.call, in)
	}
	return err
}

func (t machineResources) delete(j *job) error {
	_, err := t.sfn.DeleteStateMachine(j.call, &sfnapi.MachineInput{ARN: j.physicalID})
	return unlessGone(err)
}
