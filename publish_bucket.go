package crossaccount

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/crossaccount/crossaccount/iam"
)

// The statements of a template bucket's policy that are ours. Those about one
// service's templates have its mark behind, so that services can share a bucket.
const (
	sidTLSOnly   = "CrossaccountTLSOnly"
	sidRead      = "CrossaccountReadTemplates"
	sidWriteOnce = "CrossaccountWriteTemplatesOnce"
	sidKeep      = "CrossaccountKeepTemplates"
)

func sidMark(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return hex.EncodeToString(sum[:4])
}

// TemplateBucketPolicy returns the policy of a bucket for the templates of a
// service. It demands TLS for the whole bucket, and for the service's templates
// it lets nobody, the vendor included, overwrite or delete them.
//
// With public true every signed-in AWS identity of other accounts may read the
// templates too, as far as its own account lets it: customers' accounts are not
// known beforehand, and CloudFormation reads templates with the customer's
// permissions. Block Public Access calls such a policy public. Without it
// customers need presigned URLs, see [WithPresignedTemplates].
//
// The statements' Sids begin with Crossaccount.
func TemplateBucketPolicy(partition, bucket, serviceName string, public bool) *iam.Policy {
	arn := iam.ARN{Partition: partition, Service: "s3", Resource: bucket}.String()
	folder := templateFolder(serviceName)
	templates, mark := arn+"/"+folder+"/*", sidMark(folder)
	everybody := &iam.Principals{All: true}
	p := &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{
		{
			Sid: sidTLSOnly, Effect: iam.Deny, Principal: everybody,
			Action: []string{"s3:*"}, Resource: []string{arn, arn + "/*"},
			Conditions: []iam.Condition{{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}}},
		},
		{
			// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
			Sid: sidWriteOnce + mark, Effect: iam.Deny, Principal: everybody,
			Action: []string{"s3:PutObject"}, Resource: []string{templates},
			Conditions: []iam.Condition{
				{Operator: "Null", Key: "s3:if-none-match", Values: []string{"true"}},
				{Operator: "Bool", Key: "s3:ObjectCreationOperation", Values: []string{"true"}},
			},
		},
		{
			Sid: sidKeep + mark, Effect: iam.Deny, Principal: everybody,
			Action: []string{"s3:DeleteObject", "s3:DeleteObjectVersion"}, Resource: []string{templates},
		},
	}}
	if public {
		// Anonymous requests have no aws:PrincipalArn.
		p.Statements = append(p.Statements, iam.Statement{
			Sid: sidRead + mark, Effect: iam.Allow, Principal: everybody,
			Action: []string{"s3:GetObject"}, Resource: []string{templates},
			Conditions: []iam.Condition{{Operator: "Null", Key: "aws:PrincipalArn", Values: []string{"false"}}},
		})
	}
	return p
}

// PrepareTemplateBucket creates the bucket of the configuration if it does not
// exist, in DefaultRegion, and sets it up for templates: versioning, encryption,
// no ACLs, Block Public Access as far as customers' reading allows, and the
// statements of [TemplateBucketPolicy] beside those of other people. A bucket of
// another account is refused. It may be called again at any time, and says what
// it changed, as one would tell somebody to do it: "enable versioning".
//
// It needs more permissions than serving customers does, so it is meant for an
// operator's credentials. The error has the code publish; what was changed
// before it stays changed.
func (c *Client) PrepareTemplateBucket(ctx context.Context) (changes []string, err error) {
	return c.setUpBucket(ctx, false)
}

// PlanTemplateBucket says what [Client.PrepareTemplateBucket] would change, in the
// same words, without changing anything. Reading the bucket's settings is all
// that its credentials must be allowed to do.
func (c *Client) PlanTemplateBucket(ctx context.Context) (changes []string, err error) {
	return c.setUpBucket(ctx, true)
}

func (c *Client) setUpBucket(ctx context.Context, dry bool) (changes []string, err error) {
	p := newPublisher(c)
	if p.bucket == "" {
		return nil, NewError(CodeInvalidConfig, "template_s3_bucket: is not set", "set it to the name of a bucket that exists or shall be created", nil)
	}
	b := &bucketSetup{publisher: p, public: c.presignedTemplates == 0, service: c.config.ServiceName, dry: dry}
	for _, step := range []func(context.Context) error{b.create, b.ownership, b.encryption, b.versioning, b.publicAccess, b.policy} {
		if err := step(ctx); err != nil {
			return b.changes, b.setupFailed(err)
		}
	}
	return b.changes, nil
}

// A bucketSetup brings a bucket into the wanted state, step by step.
type bucketSetup struct {
	*publisher
	public  bool // customers read templates with permissions of their own
	service string
	dry     bool // change nothing
	missing bool // there is no bucket, and there will be none
	changes []string
}

// change makes a change with one call, or in a dry run only notes it.
func (b *bucketSetup) change(ctx context.Context, what string, call func(context.Context, *s3.Client) error) error {
	if !b.dry {
		if err := b.do(ctx, call); err != nil {
			return err
		}
	}
	b.changes = append(b.changes, what)
	return nil
}

// read makes a call that reads one of the bucket's settings. S3 answers with the
// code absent if it was never set.
func (b *bucketSetup) read(ctx context.Context, absent string, call func(context.Context, *s3.Client) error) (found bool, err error) {
	if b.missing {
		return false, nil
	}
	err = b.do(ctx, call)
	if absent != "" && apiCodeOf(err) == absent {
		return false, nil
	}
	return err == nil, err
}

// do calls S3. Every call names the owner, so a bucket that somebody else made
// under our name is never touched.
func (b *bucketSetup) do(ctx context.Context, call func(context.Context, *s3.Client) error) error {
	_, err := b.inRegion(ctx, call)
	return err
}

// setupFailed words an error for the operator who sets the bucket up.
func (b *bucketSetup) setupFailed(err error) error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	remedy := "try again"
	switch apiCodeOf(err) {
	case "AccessDenied":
		remedy = "check that the bucket belongs to service_account_id, and that these credentials are an administrator's of that account"
	case "BucketAlreadyExists":
		remedy = "the name belongs to somebody else; choose another one"
	}
	return NewError(CodePublish, "bucket "+b.bucket+" could not be looked at or set up", remedy, failure(err))
}

func (b *bucketSetup) create(ctx context.Context) error {
	found, err := b.read(ctx, "NoSuchBucket", func(ctx context.Context, client *s3.Client) error {
		_, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		return err
	})
	if found || err != nil {
		return err
	}
	b.missing = b.dry
	return b.change(ctx, "create the bucket in "+b.region, func(ctx context.Context, client *s3.Client) error {
		in := &s3.CreateBucketInput{Bucket: &b.bucket, ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}
		if b.region != "us-east-1" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(b.region)}
		}
		_, err := client.CreateBucket(ctx, in)
		return err
	})
}

func (b *bucketSetup) ownership(ctx context.Context) error {
	if b.missing {
		return nil // new buckets are made without ACLs
	}
	var now types.ObjectOwnership
	_, err := b.read(ctx, "OwnershipControlsNotFoundError", func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		if err == nil && out.OwnershipControls != nil && len(out.OwnershipControls.Rules) > 0 {
			now = out.OwnershipControls.Rules[0].ObjectOwnership
		}
		return err
	})
	if err != nil {
		return err
	}
	if now == types.ObjectOwnershipBucketOwnerEnforced {
		return nil
	}
	return b.change(ctx, "switch ACLs off", func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: &b.bucket, ExpectedBucketOwner: &b.owner,
			OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}}},
		})
		return err
	})
}

// encryption insists on the keys of S3. With a KMS key, customers would need
// permission to use it, which they do not have.
func (b *bucketSetup) encryption(ctx context.Context) error {
	if b.missing {
		return nil // S3 encrypts new buckets so
	}
	var now types.ServerSideEncryption
	_, err := b.read(ctx, "ServerSideEncryptionConfigurationNotFoundError", func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		if err == nil && out.ServerSideEncryptionConfiguration != nil {
			for _, rule := range out.ServerSideEncryptionConfiguration.Rules {
				if rule.ApplyServerSideEncryptionByDefault != nil {
					now = rule.ApplyServerSideEncryptionByDefault.SSEAlgorithm
				}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if now == types.ServerSideEncryptionAes256 {
		return nil
	}
	return b.change(ctx, "encrypt new objects with S3's keys (AES256)", func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
			Bucket: &b.bucket, ExpectedBucketOwner: &b.owner,
			ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{
				ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256},
			}}},
		})
		return err
	})
}

func (b *bucketSetup) versioning(ctx context.Context) error {
	var now types.BucketVersioningStatus
	_, err := b.read(ctx, "", func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		if err == nil {
			now = out.Status
		}
		return err
	})
	if err != nil || now == types.BucketVersioningStatusEnabled {
		return err
	}
	return b.change(ctx, "enable versioning", func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: &b.bucket, ExpectedBucketOwner: &b.owner,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		return err
	})
}

// publicAccess blocks what customers do not need. It comes before the policy,
// which S3 would refuse otherwise.
func (b *bucketSetup) publicAccess(ctx context.Context) error {
	want := types.PublicAccessBlockConfiguration{
		BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true),
		BlockPublicPolicy: aws.Bool(!b.public), RestrictPublicBuckets: aws.Bool(!b.public),
	}
	var now types.PublicAccessBlockConfiguration
	found, err := b.read(ctx, "NoSuchPublicAccessBlockConfiguration", func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		if err == nil && out.PublicAccessBlockConfiguration != nil {
			now = *out.PublicAccessBlockConfiguration
		}
		return err
	})
	if err != nil {
		return err
	}
	same := func(a, b *bool) bool { return aws.ToBool(a) == aws.ToBool(b) }
	if found && same(now.BlockPublicAcls, want.BlockPublicAcls) && same(now.IgnorePublicAcls, want.IgnorePublicAcls) &&
		same(now.BlockPublicPolicy, want.BlockPublicPolicy) && same(now.RestrictPublicBuckets, want.RestrictPublicBuckets) {
		return nil
	}
	what := "block public access"
	if b.public {
		what = "let the bucket policy admit other accounts (Block Public Access)"
	}
	return b.change(ctx, what, func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
			Bucket: &b.bucket, ExpectedBucketOwner: &b.owner, PublicAccessBlockConfiguration: &want,
		})
		return err
	})
}

// policy adds our statements to the bucket's policy, in place of earlier ones of
// the same names. Other people's statements stay as they are.
func (b *bucketSetup) policy(ctx context.Context) error {
	var text string
	_, err := b.read(ctx, "NoSuchBucketPolicy", func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner})
		if err == nil {
			text = aws.ToString(out.Policy)
		}
		return err
	})
	if err != nil {
		return err
	}
	partition, _ := iam.PartitionOfRegion(b.publisher.region)
	want := TemplateBucketPolicy(partition.ID, b.bucket, b.service, b.public)
	before := &iam.Policy{Version: iam.Version2012}
	if text != "" {
		if before, err = iam.ParsePolicy([]byte(text)); err != nil {
			return NewError(CodePublish, "the policy of bucket "+b.bucket+" cannot be read", "repair it by hand; nothing was changed in it", err)
		}
	}
	mark := sidMark(b.folder)
	merged, err := mergeStatements(before, want, []string{sidTLSOnly, sidRead + mark, sidWriteOnce + mark, sidKeep + mark})
	if err != nil {
		return err
	}
	if string(merged.Canonical()) == string(before.Canonical()) {
		return nil
	}
	document, err := merged.MarshalJSON()
	if err != nil {
		return NewError(CodePublish, "the bucket policy cannot be written", "", err)
	}
	return b.change(ctx, "set the bucket policy's statements "+strings.Join(sids(want), ", "), func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &b.bucket, ExpectedBucketOwner: &b.owner, Policy: aws.String(string(document))})
		return err
	})
}

func sids(p *iam.Policy) []string {
	var list []string
	for i := range p.Statements {
		list = append(list, p.Statements[i].Sid)
	}
	return list
}

// mergeStatements returns the policy with our statements in place of those whose
// Sids are ours. Statements of another language version would change their meaning, so such a policy is
// not touched.
func mergeStatements(before, ours *iam.Policy, own []string) (*iam.Policy, error) {
	if before.Version != ours.Version {
		return nil, NewError(CodePublish, fmt.Sprintf("the bucket has a policy of version %q", before.Version),
			"rewrite it for version "+iam.Version2012+" and try again; nothing was changed in it", nil)
	}
	merged := &iam.Policy{Version: before.Version, ID: before.ID}
	for _, s := range before.Statements {
		if !slices.Contains(own, s.Sid) {
			merged.Statements = append(merged.Statements, s)
		}
	}
	merged.Statements = append(merged.Statements, ours.Statements...)
	return merged, nil
}
