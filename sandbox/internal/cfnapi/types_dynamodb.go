package cfnapi

import (
	"slices"
	"strconv"

	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// dynamodbTypes returns the types of AWS::DynamoDB.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-dynamodb-table.html
func dynamodbTypes(dynamodb *dynamodbapi.Service) []resourceType {
	t := tableResources{dynamodb}
	keySchema := property{kind: objectList, required: true, replaces: true, fields: map[string]property{
		"AttributeName": {required: true}, "KeyType": {required: true},
	}}
	throughput := property{kind: objectValue, fields: map[string]property{
		"ReadCapacityUnits": {kind: numberValue, required: true}, "WriteCapacityUnits": {kind: numberValue, required: true},
	}}
	index := map[string]property{
		"IndexName": {required: true}, "KeySchema": keySchema,
		"Projection": {kind: objectValue, required: true, fields: map[string]property{"ProjectionType": {}, "NonKeyAttributes": {kind: textList}}},
	}
	global := map[string]property{
		"ProvisionedThroughput": throughput, "ContributorInsightsSpecification": {unsupported: true},
		"OnDemandThroughput": {unsupported: true}, "WarmThroughput": {unsupported: true},
	}
	for name, p := range index {
		global[name] = p
	}
	policy := property{kind: objectValue, fields: map[string]property{"PolicyDocument": {kind: documentValue, required: true}}}
	properties := map[string]property{
		"AttributeDefinitions": {kind: objectList, fields: map[string]property{
			"AttributeName": {required: true}, "AttributeType": {required: true},
		}},
		"BillingMode":               {},
		"DeletionProtectionEnabled": {kind: boolValue},
		"GlobalSecondaryIndexes":    {kind: objectList, fields: global},
		"KeySchema":                 keySchema,
		"LocalSecondaryIndexes":     {kind: objectList, replaces: true, fields: index},
		"ProvisionedThroughput":     throughput,
		"ResourcePolicy":            policy,
		"SSESpecification": {kind: objectValue, fields: map[string]property{
			"KMSMasterKeyId": {}, "SSEEnabled": {kind: boolValue, required: true}, "SSEType": {},
		}},
		"StreamSpecification": {kind: objectValue, fields: map[string]property{"StreamViewType": {required: true}, "ResourcePolicy": policy}},
		"TableClass":          {},
		"TableName":           {replaces: true},
		"Tags":                tagsProperty,
		"TimeToLiveSpecification": {kind: objectValue, fields: map[string]property{
			"AttributeName": {}, "Enabled": {kind: boolValue, required: true},
		}},
	}
	for name := range setOf("ContributorInsightsSpecification ImportSourceSpecification KinesisStreamSpecification OnDemandThroughput PointInTimeRecoverySpecification WarmThroughput") {
		properties[name] = property{unsupported: true}
	}
	return []resourceType{{
		name: "AWS::DynamoDB::Table", tagged: true,
		properties: properties,
		attributes: []string{"Arn", "StreamArn"},
		create:     t.create, update: t.update, delete: t.delete,
	}}
}

// tableResources does the work of the AWS::DynamoDB types.
type tableResources struct{ dynamodb *dynamodbapi.Service }

func (t tableResources) create(j *job) error {
	name := j.nameOrNew("TableName", 255)
	p := j.properties
	in := &dynamodbapi.CreateTableInput{
		TableName: name, KeySchema: keyElements(p), AttributeDefinitions: definitions(p), BillingMode: j.text("BillingMode"),
		ProvisionedThroughput: capacity(p), GlobalSecondaryIndexes: indexes(p, "GlobalSecondaryIndexes"), LocalSecondaryIndexes: indexes(p, "LocalSecondaryIndexes"),
		StreamSpecification: streamSpecification(p), SSESpecification: encryptionSpecification(p), TableClass: j.text("TableClass"),
		DeletionProtectionEnabled: j.text("DeletionProtectionEnabled") == "true", ResourcePolicy: document(p.Get("ResourcePolicy"), "PolicyDocument"),
	}
	for _, tag := range j.tags {
		in.Tags = append(in.Tags, dynamodbapi.Tag{Key: tag.Key, Value: tag.Value})
	}
	out, err := t.dynamodb.CreateTable(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = name
	t.describe(j, out.TableDescription)
	if err := t.putPolicy(j, j.attributes["StreamArn"], document(p.Get("StreamSpecification").Get("ResourcePolicy"), "PolicyDocument")); err != nil {
		return err
	}
	return t.expire(j)
}

func (t tableResources) describe(j *job, d *dynamodbapi.Description) {
	j.attributes["Arn"] = d.TableArn
	if d.LatestStreamArn != "" {
		j.attributes["StreamArn"] = d.LatestStreamArn
	}
}

func keyElements(n *cfn.Node) []dynamodbapi.KeyElement {
	var elements []dynamodbapi.KeyElement
	for _, item := range items(n, "KeySchema") {
		elements = append(elements, dynamodbapi.KeyElement{AttributeName: textOf(item, "AttributeName"), KeyType: textOf(item, "KeyType")})
	}
	return elements
}

func definitions(n *cfn.Node) []dynamodbapi.AttributeDefinition {
	var list []dynamodbapi.AttributeDefinition
	for _, item := range items(n, "AttributeDefinitions") {
		list = append(list, dynamodbapi.AttributeDefinition{AttributeName: textOf(item, "AttributeName"), AttributeType: textOf(item, "AttributeType")})
	}
	return list
}

func capacity(n *cfn.Node) *dynamodbapi.Throughput {
	v := n.Get("ProvisionedThroughput")
	if v == nil {
		return nil
	}
	// checkProperties has refused what are no numbers.
	read, _ := strconv.Atoi(textOf(v, "ReadCapacityUnits"))
	write, _ := strconv.Atoi(textOf(v, "WriteCapacityUnits"))
	return &dynamodbapi.Throughput{ReadCapacityUnits: read, WriteCapacityUnits: write}
}

func indexes(n *cfn.Node, name string) []dynamodbapi.IndexInput {
	var list []dynamodbapi.IndexInput
	for _, item := range items(n, name) {
		list = append(list, indexOf(item))
	}
	return list
}

func indexOf(n *cfn.Node) dynamodbapi.IndexInput {
	projection := n.Get("Projection")
	return dynamodbapi.IndexInput{
		IndexName: textOf(n, "IndexName"), KeySchema: keyElements(n), ProvisionedThroughput: capacity(n),
		Projection: &dynamodbapi.Projection{ProjectionType: textOf(projection, "ProjectionType"), NonKeyAttributes: list(projection, "NonKeyAttributes")},
	}
}

func streamSpecification(n *cfn.Node) *dynamodbapi.StreamSpecification {
	v := n.Get("StreamSpecification")
	if v == nil {
		return nil
	}
	return &dynamodbapi.StreamSpecification{StreamEnabled: true, StreamViewType: textOf(v, "StreamViewType")}
}

func encryptionSpecification(n *cfn.Node) *dynamodbapi.EncryptionSpecification {
	v := n.Get("SSESpecification")
	if v == nil {
		return nil
	}
	return &dynamodbapi.EncryptionSpecification{Enabled: textOf(v, "SSEEnabled") == "true", SSEType: textOf(v, "SSEType"), KMSMasterKeyID: textOf(v, "KMSMasterKeyId")}
}

// putPolicy replaces the resource policy of a table or stream, or takes it
// away. Without an ARN there is nothing to do it to.
func (t tableResources) putPolicy(j *job, arn, policy string) error {
	in := &dynamodbapi.PolicyInput{ResourceArn: arn, Policy: policy}
	switch {
	case arn == "":
		return nil
	case policy != "":
		_, err := t.dynamodb.PutResourcePolicy(j.call, in)
		return err
	case j.old == nil: // a new table has none
		return nil
	}
	_, err := t.dynamodb.DeleteResourcePolicy(j.call, in)
	return err
}

// expire turns expiry on, off, or to another attribute.
func (t tableResources) expire(j *job) error {
	set := func(n *cfn.Node, enabled bool) error {
		v := n.Get("TimeToLiveSpecification")
		if v == nil || textOf(v, "Enabled") != "true" {
			return nil
		}
		_, err := t.dynamodb.UpdateTimeToLive(j.call, &dynamodbapi.UpdateTimeToLiveInput{
			TableName: j.physicalID, TimeToLiveSpecification: dynamodbapi.TimeToLive{AttributeName: textOf(v, "AttributeName"), Enabled: enabled},
		})
		return err
	}
	if j.old != nil {
		if !j.changed("TimeToLiveSpecification") {
			return nil
		}
		if err := set(j.old, false); err != nil {
			return err
		}
	}
	return set(j.properties, true)
}

func (t tableResources) update(j *job) error {
	in := &dynamodbapi.UpdateTableInput{TableName: j.physicalID, TableClass: j.text("TableClass")}
	if j.changed("BillingMode") || j.changed("ProvisionedThroughput") {
		in.BillingMode, in.ProvisionedThroughput = j.text("BillingMode"), capacity(j.properties)
		if in.BillingMode == "" {
			in.BillingMode = "PROVISIONED"
		}
	}
	if j.changed("DeletionProtectionEnabled") {
		on := j.text("DeletionProtectionEnabled") == "true"
		in.DeletionProtectionEnabled = &on
	}
	if j.changed("SSESpecification") {
		if in.SSESpecification = encryptionSpecification(j.properties); in.SSESpecification == nil {
			in.SSESpecification = &dynamodbapi.EncryptionSpecification{}
		}
	}
	in.GlobalSecondaryIndexUpdates = indexUpdates(j)
	if len(in.GlobalSecondaryIndexUpdates) > 0 {
		in.AttributeDefinitions = definitions(j.properties)
	}
	if err := t.updateStream(j, in); err != nil {
		return err
	}
	out, err := t.dynamodb.UpdateTable(j.call, in)
	if err != nil {
		return err
	}
	t.describe(j, out.TableDescription)
	if j.changed("ResourcePolicy") {
		if err := t.putPolicy(j, out.TableDescription.TableArn, document(j.properties.Get("ResourcePolicy"), "PolicyDocument")); err != nil {
			return err
		}
	}
	if j.changed("StreamSpecification") {
		if err := t.putPolicy(j, out.TableDescription.LatestStreamArn, document(j.properties.Get("StreamSpecification").Get("ResourcePolicy"), "PolicyDocument")); err != nil {
			return err
		}
	}
	if err := t.expire(j); err != nil {
		return err
	}
	return t.tag(j, out.TableDescription.TableArn)
}

// updateStream turns the stream off if it is to be another one, and lets in
// turn it on. A stream whose policy alone changes stays.
func (t tableResources) updateStream(j *job, in *dynamodbapi.UpdateTableInput) error {
	before, after := textOf(j.old.Get("StreamSpecification"), "StreamViewType"), textOf(j.properties.Get("StreamSpecification"), "StreamViewType")
	if before == after {
		return nil
	}
	if before != "" {
		off := &dynamodbapi.UpdateTableInput{TableName: j.physicalID, StreamSpecification: &dynamodbapi.StreamSpecification{}}
		if _, err := t.dynamodb.UpdateTable(j.call, off); err != nil {
			return err
		}
		delete(j.attributes, "StreamArn")
	}
	in.StreamSpecification = streamSpecification(j.properties)
	return nil
}

// indexUpdates makes and deletes global indexes. One that differs is made anew.
func indexUpdates(j *job) []dynamodbapi.IndexUpdate {
	find := func(n *cfn.Node, name string) *cfn.Node {
		for _, item := range items(n, "GlobalSecondaryIndexes") {
			if textOf(item, "IndexName") == name {
				return item
			}
		}
		return nil
	}
	var updates, created []dynamodbapi.IndexUpdate
	for _, item := range items(j.old, "GlobalSecondaryIndexes") {
		name := textOf(item, "IndexName")
		if again := find(j.properties, name); again == nil || !again.Equal(item) {
			updates = append(updates, dynamodbapi.IndexUpdate{Delete: &struct{ IndexName string }{name}})
		}
	}
	for _, item := range items(j.properties, "GlobalSecondaryIndexes") {
		if before := find(j.old, textOf(item, "IndexName")); before == nil || !before.Equal(item) {
			made := indexOf(item)
			created = append(created, dynamodbapi.IndexUpdate{Create: &made})
		}
	}
	return slices.Concat(updates, created)
}

func (t tableResources) tag(j *job, arn string) error {
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.dynamodb.UntagResource(j.call, &dynamodbapi.TagsInput{ResourceArn: arn, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	in := &dynamodbapi.TagsInput{ResourceArn: arn}
	for _, tag := range set {
		in.Tags = append(in.Tags, dynamodbapi.Tag{Key: tag.Key, Value: tag.Value})
	}
	_, err := t.dynamodb.TagResource(j.call, in)
	return err
}

func (t tableResources) delete(j *job) error {
	_, err := t.dynamodb.DeleteTable(j.call, &dynamodbapi.TableInput{TableName: j.physicalID})
	return unlessGone(err)
}
