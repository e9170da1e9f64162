package grant

import (
	"maps"
	"slices"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// encryptBucket makes a key the one that S3 uses for new objects. What else the
// bucket's rule says stays: its algorithm, and whether it has a bucket key.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-bucketencryption.html
func encryptBucket(g *template.Generic, key string) {
	rule, ok := encryptionRule(g.Properties)
	if !ok {
		rule = template.Object{{Key: "ServerSideEncryptionByDefault", Value: template.Object{{Key: "SSEAlgorithm", Value: "aws:kms"}}}}
	}
	rule = slices.Clone(rule) // of the manifest, for other stages too
	setPath(&rule, []string{"ServerSideEncryptionByDefault", "KMSMasterKeyID"}, key)
	setPath(&g.Properties, []string{"BucketEncryption", "ServerSideEncryptionConfiguration"}, []any{rule})
}

// encryptionRule returns the rule among the properties that create a bucket in
// which the key can be filled in: the only one, with an algorithm of KMS.
func encryptionRule(create template.Object) (template.Object, bool) {
	rules, _ := property(member(create, "BucketEncryption"), "ServerSideEncryptionConfiguration").([]any)
	if len(rules) != 1 {
		return nil, false
	}
	rule, _ := rules[0].(template.Object)
	algorithm, _ := text(member(rule, "ServerSideEncryptionByDefault"), "SSEAlgorithm")
	return rule, algorithm == "aws:kms" || algorithm == "aws:kms:dsse"
}

// s3Bucket is the kind of S3 general purpose buckets. Actions on objects work on
// object ARNs, listing on the bucket's own, so every access has both.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-walkthroughs-managing-access-example2.html
func s3Bucket() *kind {
	objects := func(i *instance, n *Narrowing) []string {
		if len(n.Prefixes) == 0 {
			return []string{i.arn + "/*"}
		}
		var arns []string
		for _, p := range suffixed(n.Prefixes, "*") {
			arns = append(arns, i.arn+"/"+p)
		}
		return arns
	}
	listed := func(_ *instance, n *Narrowing) []iam.Condition {
		return condition("StringLike", "s3:prefix", suffixed(n.Prefixes, "*")...)
	}
	tagged := func(_ *instance, n *Narrowing) []iam.Condition {
		var all []iam.Condition
		for _, key := range slices.Sorted(maps.Keys(n.ObjectTags)) {
			all = append(all, condition("StringEquals", "s3:ExistingObjectTag/"+key, n.ObjectTags[key])...)
		}
		return all
	}
	list := right{sid: "ListBucket", actions: []string{"s3:ListBucket"}, when: listed}
	locate := right{sid: "LocateBucket", actions: []string{"s3:GetBucketLocation"}}
	read := right{sid: "ReadObjects", actions: []string{"s3:GetObject", "s3:GetObjectVersion"}, on: objects, when: tagged}
	write := right{sid: "WriteObjects", actions: []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}, on: objects}
	return &kind{
		name: "s3-bucket", title: "S3 bucket", service: "s3", anyRegion: true,
		page: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-walkthroughs-managing-access-example2.html",
		arn:  func(i *instance) string { return "arn:" + i.site.Partition + ":s3:::" + i.physical },
		accesses: []access{
			{word: "read", doc: "list the bucket and read its objects", readOnly: true, rights: []right{list, locate, read}, key: []string{"kms:Decrypt"}},
			{word: "write", doc: "put objects, also in parts", rights: []right{locate, write}, ignores: []string{"object_tags"}, key: []string{"kms:GenerateDataKey", "kms:Decrypt"}},
			{word: "delete", doc: "delete objects", ignores: []string{"object_tags"}, rights: []right{{sid: "DeleteObjects", actions: []string{"s3:DeleteObject"}, on: objects}}},
		},
		narrowing: []string{"prefixes", "object_tags"},
		near: func(i *instance, resource string) []string {
			if resource == i.arn {
				return nil
			}
			return []string{i.arn + "/elsewhere/object"}
		},
		encryption: "aws-owned", via: "s3",
		policy: &policyType{
			service: "s3",
			resource: func(i *instance, _ string, p *iam.Policy) (string, template.Object) {
				return "AWS::S3::BucketPolicy", template.Object{{Key: "Bucket", Value: i.nameInStack()}, {Key: "PolicyDocument", Value: p}}
			},
			terraform: func(i *instance, _ string, p *iam.Policy) template.Block {
				return template.Block{Type: "aws_s3_bucket_policy", Arguments: template.Object{{Key: "bucket", Value: i.physical}, {Key: "policy", Value: p}}}
			},
		},
		create: &createType{cloudFormation: "AWS::S3::Bucket", nameProperty: "BucketName", arnAttribute: "Arn", encrypt: encryptBucket,
			fixed: template.Object{
				{Key: "PublicAccessBlockConfiguration", Value: template.Object{
					{Key: "BlockPublicAcls", Value: true}, {Key: "BlockPublicPolicy", Value: true},
					{Key: "IgnorePublicAcls", Value: true}, {Key: "RestrictPublicBuckets", Value: true},
				}},
			}},
		caveats: []string{
			"Objects written by a consumer belong to the bucket's owner only with the ownership setting BucketOwnerEnforced, the default since April 2023; on older buckets check it, because the owner cannot grant access to objects it does not own.",
			"Narrowing by object tags covers reading only: a tag that is not there cannot be required when an object is written.",
			"A bucket that S3 encrypts with aws/s3 (aws-managed) cannot be read from other accounts; SSE-S3, the default, can.",
		},
	}
}
