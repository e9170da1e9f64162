package cfnapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestBuckets(t *testing.T) {
	b := newBench(t)
	template := `
Parameters: {Reader: {Type: String}}
Resources:
  Templates:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}
      PublicAccessBlockConfiguration: {BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true}
      Tags: [{Key: Purpose, Value: templates}]
  Policy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Templates
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {AWS: !Ref Reader}, Action: "s3:GetObject", Resource: !Sub "${Templates.Arn}/*"}]
Outputs:
  Bucket: {Value: !Ref Templates}
  Domain: {Value: !GetAtt Templates.RegionalDomainName}
`
	st := b.create("Storage", template, "Reader="+vendor)
	bucket := output(st, "Bucket")
	if !strings.HasPrefix(bucket, "storage-templates-") || output(st, "Domain") != bucket+".s3.us-east-1.amazonaws.com" {
		t.Errorf("bucket %s, domain %s", bucket, output(st, "Domain"))
	}
	own, reader := s3.NewFromConfig(b.Account(customer).Config()), s3.NewFromConfig(b.Account(vendor).Config())
	if _, err := own.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("t"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("t")}); err != nil {
		t.Errorf("the bucket policy's reader: %v", err)
	}
	versioning, err := own.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket})
	if err != nil || versioning.Status != "Enabled" {
		t.Errorf("versioning %+v, %v", versioning, err)
	}

	b.update("Storage", strings.Replace(template, "VersioningConfiguration: {Status: Enabled}", "", 1), "Reader=555566667777")
	// There is no account 555566667777, so S3 refuses the policy.
	if st := b.stack("Storage"); st.StackStatus != types.StackStatusUpdateRollbackComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	if versioning, err = own.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket}); err != nil || versioning.Status != "Enabled" {
		t.Errorf("versioning after the rollback: %+v, %v", versioning, err)
	}
	st = b.update("Storage", template, "Reader="+customer)
	if st.StackStatus != types.StackStatusUpdateComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	_, err = reader.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("t")})
	wantRefusal(t, err, "AccessDenied")

	b.delete("Storage")
	if st := b.stack("Storage"); st.StackStatus != types.StackStatusDeleteFailed || aws.ToString(st.StackStatusReason) != "The following resource(s) failed to delete: [Templates]. " {
		t.Errorf("deletion of a bucket that is not empty: %s, %s", st.StackStatus, aws.ToString(st.StackStatusReason))
	}
}

// A stack takes over no bucket that exists, not even one of its own account.
func TestBucketsAreNotTakenOver(t *testing.T) {
	b := newBench(t)
	store := s3.NewFromConfig(b.Account(customer).Config())
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("precious")}); err != nil {
		t.Fatal(err)
	}
	if err := b.tryCreate("storage", "Resources: {B: {Type: AWS::S3::Bucket, Properties: {BucketName: precious}}}"); err != nil {
		t.Fatal(err)
	}
	if st := b.stack("storage"); st.StackStatus != types.StackStatusRollbackComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	if _, err := store.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("precious")}); err != nil {
		t.Errorf("the bucket after the rollback: %v", err)
	}
}
