package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/kinesisapi"
)

// kinesisTypes returns the types of AWS::Kinesis.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_Kinesis.html
func kinesisTypes(kinesis *kinesisapi.Service) []resourceType {
	t := streamResources{kinesis}
	return []resourceType{
		{
			name: "AWS::Kinesis::Stream", tagged: true,
			properties: map[string]property{
				"DesiredShardLevelMetrics": {unsupported: true},
				"MaxRecordSizeInKiB":       {unsupported: true},
				"Name":                     {replaces: true},
				"RetentionPeriodHours":     {unsupported: true},
				"ShardCount":               {kind: numberValue, replaces: true},
				"StreamEncryption":         {kind: objectValue, fields: map[string]property{"EncryptionType": {required: true}, "KeyId": {required: true}}},
				"StreamModeDetails":        {kind: objectValue, replaces: true, fields: map[string]property{"StreamMode": {required: true}}},
				"Tags":                     tagsProperty,
				"WarmThroughputMiBps":      {unsupported: true},
			},
			attributes: []string{"Arn"},
			create:     t.createStream, update: t.updateStream, delete: t.deleteStream,
		},
		{
			name: "AWS::Kinesis::StreamConsumer",
			properties: map[string]property{
				"ConsumerName": {required: true, replaces: true},
				"StreamARN":    {required: true, replaces: true},
				"Tags":         {unsupported: true},
			},
			attributes: []string{"ConsumerARN", "ConsumerCreationTimestamp", "ConsumerName", "ConsumerStatus", "StreamARN"},
			create:     t.createConsumer, update: func(*job) error { return nil }, delete: t.deleteConsumer,
		},
		{
			name: "AWS::Kinesis::ResourcePolicy",
			properties: map[string]property{
				"ResourceArn":    {required: true, replaces: true},
				"ResourcePolicy": {kind: documentValue, required: true},
			},
			create: t.putPolicy, update: t.putPolicy, delete: t.deletePolicy,
		},
	}
}

// streamResources does the work of the AWS::Kinesis types.
type streamResources struct{ kinesis *kinesisapi.Service }

func (t streamResources) createStream(j *job) error {
	name := j.nameOrNew("Name", 128)
	in := &kinesisapi.CreateStreamInput{StreamName: name, ShardCount: j.number("ShardCount"), Tags: tagMap(j.tags)}
	if mode := j.properties.Get("StreamModeDetails"); mode != nil {
		in.StreamModeDetails = &kinesisapi.StreamMode{StreamMode: textOf(mode, "StreamMode")}
	}
	if _, err := t.kinesis.CreateStream(j.call, in); err != nil {
		return err
	}
	j.physicalID = name
	partition, _ := iam.PartitionOfRegion(j.call.Region)
	j.attributes["Arn"] = "arn:" + partition.ID + ":kinesis:" + j.call.Region + ":" + string(j.call.Account()) + ":stream/" + name
	return t.encrypt(j)
}

func (t streamResources) encrypt(j *job) error {
	if !j.changed("StreamEncryption") {
		return nil
	}
	in := &kinesisapi.EncryptionInput{EncryptionType: "KMS"}
	in.StreamName = j.physicalID
	encryption := j.properties.Get("StreamEncryption")
	if encryption == nil {
		_, err := t.kinesis.StopStreamEncryption(j.call, in)
		return err
	}
	in.EncryptionType, in.KeyID = textOf(encryption, "EncryptionType"), textOf(encryption, "KeyId")
	_, err := t.kinesis.StartStreamEncryption(j.call, in)
	return err
}

func (t streamResources) updateStream(j *job) error {
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		in := &kinesisapi.RemoveTagsFromStreamInput{TagKeys: remove}
		in.StreamName = j.physicalID
		if _, err := t.kinesis.RemoveTagsFromStream(j.call, in); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		in := &kinesisapi.AddTagsToStreamInput{Tags: tagMap(set)}
		in.StreamName = j.physicalID
		if _, err := t.kinesis.AddTagsToStream(j.call, in); err != nil {
			return err
		}
	}
	return t.encrypt(j)
}

func (t streamResources) deleteStream(j *job) error {
	in := &kinesisapi.DeleteStreamInput{EnforceConsumerDeletion: true}
	in.StreamName = j.physicalID
	_, err := t.kinesis.DeleteStream(j.call, in)
	return unlessGone(err)
}

func (t streamResources) createConsumer(j *job) error {
	out, err := t.kinesis.RegisterStreamConsumer(j.call, &kinesisapi.ConsumerInput{StreamARN: j.text("StreamARN"), ConsumerName: j.text("ConsumerName")})
	if err != nil {
		return err
	}
	arn := out.Consumer.ConsumerARN
	j.physicalID = arn
	j.attributes["ConsumerARN"], j.attributes["ConsumerName"], j.attributes["StreamARN"] = arn, out.Consumer.ConsumerName, j.text("StreamARN")
	j.attributes["ConsumerStatus"], j.attributes["ConsumerCreationTimestamp"] = out.Consumer.ConsumerStatus, arn[strings.LastIndexByte(arn, ':')+1:]
	return nil
}

func (t streamResources) deleteConsumer(j *job) error {
	_, err := t.kinesis.DeregisterStreamConsumer(j.call, &kinesisapi.ConsumerInput{ConsumerARN: j.physicalID})
	return unlessGone(err)
}

func (t streamResources) putPolicy(j *job) error {
	arn := j.text("ResourceArn")
	if _, err := t.kinesis.PutResourcePolicy(j.call, &kinesisapi.PolicyInput{ResourceARN: arn, Policy: document(j.properties, "ResourcePolicy")}); err != nil {
		return err
	}
	j.physicalID = arn
	return nil
}

func (t streamResources) deletePolicy(j *job) error {
	_, err := t.kinesis.DeleteResourcePolicy(j.call, &kinesisapi.PolicyInput{ResourceARN: j.physicalID})
	return unlessGone(err)
}
