package cfnapi

import (
	"maps"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// s3Types returns the types of AWS::S3. Buckets do not get the tags
// aws:cloudformation:… that they have in AWS, because the sandbox's S3 has only
// tags that its users set.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_S3.html
func s3Types(s3 *s3api.Service) []resourceType {
	t := s3Resources{s3}
	bucket := map[string]property{
		"BucketName": {replaces: true},
		"BucketEncryption": {kind: objectValue, fields: map[string]property{
			"ServerSideEncryptionConfiguration": {kind: objectList, required: true, fields: map[string]property{
				"BlockedEncryptionTypes": {unsupported: true},
				"BucketKeyEnabled":       {kind: boolValue},
				"ServerSideEncryptionByDefault": {kind: objectValue, fields: map[string]property{
					"KMSMasterKeyID": {},
					"SSEAlgorithm":   {required: true},
				}},
			}},
		}},
		"PublicAccessBlockConfiguration": {kind: objectValue, fields: map[string]property{
			"BlockPublicAcls":       {kind: boolValue},
			"BlockPublicPolicy":     {kind: boolValue},
			"IgnorePublicAcls":      {kind: boolValue},
			"RestrictPublicBuckets": {kind: boolValue},
		}},
		"Tags": tagsProperty,
		"VersioningConfiguration": {kind: objectValue, fields: map[string]property{
			"Status": {required: true},
		}},
	}
	for name := range setOf(`AbacStatus AccelerateConfiguration AccessControl AnalyticsConfigurations
		CorsConfiguration IntelligentTieringConfigurations InventoryConfigurations LifecycleConfiguration
		LoggingConfiguration BucketNamePrefix BucketNamespace MetadataConfiguration MetadataTableConfiguration MetricsConfigurations
		NotificationConfiguration ObjectLockConfiguration ObjectLockEnabled OwnershipControls
		ReplicationConfiguration WebsiteConfiguration`) {
		bucket[name] = property{unsupported: true}
	}
	return []resourceType{
		{
			name: "AWS::S3::Bucket", nameProperty: "BucketName", tagged: true,
			properties: bucket,
			attributes: []string{"Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"},
			create:     t.createBucket, update: t.updateBucket, delete: t.deleteBucket,
		},
		{
			name: "AWS::S3::BucketPolicy",
			properties: map[string]property{
				"Bucket":         {required: true, replaces: true},
				"PolicyDocument": {kind: documentValue, required: true},
			},
			create: t.putPolicy, update: t.putPolicy, delete: t.deletePolicy,
		},
	}
}

// s3Resources does the work of the AWS::S3 types.
type s3Resources struct{ s3 *s3api.Service }

func (t s3Resources) createBucket(j *job) error {
	name := j.text("BucketName")
	if name == "" {
		name = strings.ToLower(j.newName(63))
	}
	if t.s3.Exists(j.call, name) {
		// S3 itself may accept the creation of a bucket one has; CloudFormation
		// takes over nothing that it did not make.
		return wire.Errorf(409, "BucketAlreadyExists", "%s already exists", name)
	}
	if err := t.s3.CreateBucket(j.call, name, tagMap(j.tags)); err != nil {
		return err
	}
	j.physicalID = name
	partition, _ := iam.PartitionOfRegion(j.call.Region)
	j.attributes["Arn"] = "arn:" + partition.ID + ":s3:::" + name
	j.attributes["DomainName"] = name + ".s3." + partition.DNSSuffix
	j.attributes["RegionalDomainName"] = name + ".s3." + j.call.Region + "." + partition.DNSSuffix
	j.attributes["DualStackDomainName"] = name + ".s3.dualstack." + j.call.Region + "." + partition.DNSSuffix
	j.attributes["WebsiteURL"] = "http://" + name + ".s3-website-" + j.call.Region + "." + partition.DNSSuffix
	return t.configure(j)
}

func (t s3Resources) updateBucket(j *job) error {
	if before, after := tagMap(j.oldTags), tagMap(j.tags); !maps.Equal(before, after) {
		if err := t.s3.PutBucketTagging(j.call, j.physicalID, after); err != nil {
			return err
		}
	}
	return t.configure(j)
}

// configure brings encryption, versioning and Block Public Access to the
// properties. A setting that is no longer there is switched off: AWS cannot
// forget that a bucket had versions, and suspends them.
func (t s3Resources) configure(j *job) error {
	if j.changed("BucketEncryption") {
		if err := t.encrypt(j); err != nil {
			return err
		}
	}
	if j.changed("VersioningConfiguration") {
		status := textOf(j.properties.Get("VersioningConfiguration"), "Status")
		if status == "" {
			status = "Suspended"
		}
		if err := t.s3.PutBucketVersioning(j.call, j.physicalID, status); err != nil {
			return err
		}
	}
	if !j.changed("PublicAccessBlockConfiguration") {
		return nil
	}
	block := j.properties.Get("PublicAccessBlockConfiguration")
	return t.s3.PutPublicAccessBlock(j.call, j.physicalID, s3api.PublicAccessBlock{
		BlockPublicAcls:       isTrue(block, "BlockPublicAcls"),
		IgnorePublicAcls:      isTrue(block, "IgnorePublicAcls"),
		BlockPublicPolicy:     isTrue(block, "BlockPublicPolicy"),
		RestrictPublicBuckets: isTrue(block, "RestrictPublicBuckets"),
	})
}

func (t s3Resources) encrypt(j *job) error {
	encryption := j.properties.Get("BucketEncryption")
	if encryption == nil {
		return t.s3.DeleteBucketEncryption(j.call, j.physicalID)
	}
	rules := encryption.Get("ServerSideEncryptionConfiguration").Items
	if len(rules) != 1 {
		return wire.BadRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	byDefault := rules[0].Get("ServerSideEncryptionByDefault")
	algorithm := textOf(byDefault, "SSEAlgorithm")
	if algorithm == "" { // the rule is only about bucket keys
		algorithm = "AES256"
	}
	return t.s3.PutBucketEncryption(j.call, j.physicalID, algorithm, textOf(byDefault, "KMSMasterKeyID"), isTrue(rules[0], "BucketKeyEnabled"))
}

func isTrue(n *cfn.Node, name string) bool { return textOf(n, name) == "true" }

func (t s3Resources) deleteBucket(j *job) error {
	return unlessGone(t.s3.DeleteBucket(j.call, j.physicalID))
}

func (t s3Resources) putPolicy(j *job) error {
	bucket := j.text("Bucket")
	if err := t.s3.PutBucketPolicy(j.call, bucket, document(j.properties, "PolicyDocument")); err != nil {
		return err
	}
	j.physicalID = bucket
	return nil
}

func (t s3Resources) deletePolicy(j *job) error {
	return unlessGone(t.s3.DeleteBucketPolicy(j.call, j.physicalID))
}
