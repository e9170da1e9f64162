package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	policy "github.com/crossaccount/crossaccount/iam"
)

// An Operator is an account the recorder may work in, with the credentials to
// do so.
type Operator struct {
	Config  aws.Config
	Account policy.AccountID
	ARN     string
	UserID  string // aws:userid, which the roles trust
}

// A workshop makes and removes things in one account.
type workshop struct {
	operator *Operator
	iam      *iam.Client
	s3       *s3.Client
}

func newWorkshop(o *Operator) *workshop {
	return &workshop{operator: o, iam: iam.NewFromConfig(o.Config), s3: s3.NewFromConfig(o.Config)}
}

// codeOf returns AWS's code of an error, or "".
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// makeRole makes a role. It never takes over one that is there.
func (w *workshop) makeRole(ctx context.Context, r roleToMake, trust string, boundary *string) (uniqueID string, err error) {
	in := &iam.CreateRoleInput{
		RoleName: &r.name, Path: &r.path, AssumeRolePolicyDocument: &trust, PermissionsBoundary: boundary,
		Description: aws.String("made by crossaccount conformance record; remove it with crossaccount conformance cleanup"),
	}
	for key, value := range r.tags {
		in.Tags = append(in.Tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	out, err := w.iam.CreateRole(ctx, in)
	if err != nil {
		return "", fmt.Errorf("create role %s: %w", r.name, err)
	}
	return aws.ToString(out.Role.RoleId), nil
}

func (w *workshop) putRolePolicy(ctx context.Context, r roleToMake, n int, document string) error {
	if _, err := w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: &r.name, PolicyName: aws.String(fmt.Sprintf("policy-%d", n)), PolicyDocument: &document,
	}); err != nil {
		return fmt.Errorf("put policy %d of role %s: %w", n, r.name, err)
	}
	return nil
}

func (w *workshop) makePolicy(ctx context.Context, r roleToMake, document string) (arn *string, err error) {
	out, err := w.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: &r.name, Path: &r.path, PolicyDocument: &document,
		Tags: []iamtypes.Tag{{Key: aws.String(TagKey), Value: aws.String(r.tags[TagKey])}},
	})
	if err != nil {
		return nil, fmt.Errorf("create policy %s: %w", r.name, err)
	}
	return out.Policy.Arn, nil
}

// makeBucket makes a bucket with at most one object.
func (w *workshop) makeBucket(ctx context.Context, run, bucket, key string, tags map[string]string) error {
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if region := w.operator.Config.Region; region != "us-east-1" {
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}
	}
	if _, err := w.s3.CreateBucket(ctx, in); err != nil {
		return fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	if _, err := w.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: &bucket, Tagging: &s3types.Tagging{
		TagSet: []s3types.Tag{{Key: aws.String(TagKey), Value: &run}},
	}}); err != nil {
		return fmt.Errorf("tag bucket %s: %w", bucket, err)
	}
	if key == "" {
		return nil
	}
	if _, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("for a conformance case")}); err != nil {
		return fmt.Errorf("put the object of bucket %s: %w", bucket, err)
	}
	if len(tags) == 0 {
		return nil
	}
	set := &s3types.Tagging{}
	for name, value := range tags {
		set.TagSet = append(set.TagSet, s3types.Tag{Key: aws.String(name), Value: aws.String(value)})
	}
	if _, err := w.s3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: &bucket, Key: &key, Tagging: set}); err != nil {
		return fmt.Errorf("tag the object of bucket %s: %w", bucket, err)
	}
	return nil
}

// removeRole removes a role with its policies if it carries our tag, and its
// boundary. That it is gone already is fine.
func (w *workshop) removeRole(ctx context.Context, name string) error {
	role, err := w.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if codeOf(err) == "NoSuchEntity" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at role %s: %w", name, err)
	}
	if !slices.ContainsFunc(role.Role.Tags, func(t iamtypes.Tag) bool { return aws.ToString(t.Key) == TagKey }) ||
		!strings.HasPrefix(aws.ToString(role.Role.Path), "/"+Prefix+"/") {
		return fmt.Errorf("role %s is not ours: it has no tag %s or another path; left alone", name, TagKey)
	}
	inline, err := w.iam.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &name})
	if err != nil {
		return fmt.Errorf("list the policies of role %s: %w", name, err)
	}
	for _, p := range inline.PolicyNames {
		if _, err := w.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &p}); err != nil && codeOf(err) != "NoSuchEntity" {
			return fmt.Errorf("delete policy %s of role %s: %w", p, name, err)
		}
	}
	if _, err := w.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name}); err != nil && codeOf(err) != "NoSuchEntity" {
		return fmt.Errorf("delete role %s: %w", name, err)
	}
	return nil
}

// removePolicy removes a managed policy of ours, which is named by its ARN.
func (w *workshop) removePolicy(ctx context.Context, arn string) error {
	if !strings.Contains(arn, ":policy/"+Prefix+"/") {
		return fmt.Errorf("policy %s is not ours: it has another path; left alone", arn)
	}
	tags, err := w.iam.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: &arn})
	if codeOf(err) == "NoSuchEntity" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at policy %s: %w", arn, err)
	}
	if !slices.ContainsFunc(tags.Tags, func(t iamtypes.Tag) bool { return aws.ToString(t.Key) == TagKey }) {
		return fmt.Errorf("policy %s is not ours: it has no tag %s; left alone", arn, TagKey)
	}
	if _, err := w.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &arn}); err != nil && codeOf(err) != "NoSuchEntity" {
		return fmt.Errorf("delete policy %s: %w", arn, err)
	}
	return nil
}

// removeBucket empties and removes a bucket that carries our tag. One that does
// not was made by a run that was killed before it could tag it, if it has our
// name; it is removed if it is empty, which AWS checks.
func (w *workshop) removeBucket(ctx context.Context, bucket string) error {
	owner := aws.String(string(w.operator.Account))
	tags, err := w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &bucket, ExpectedBucketOwner: owner})
	switch code := codeOf(err); {
	case code == "NoSuchBucket":
		return nil
	case err != nil && code != "NoSuchTagSet":
		return fmt.Errorf("look at bucket %s: %w", bucket, err)
	case err == nil && slices.ContainsFunc(tags.TagSet, func(t s3types.Tag) bool { return aws.ToString(t.Key) == TagKey }):
		if err := w.emptyBucket(ctx, bucket, owner); err != nil {
			return err
		}
	case !ourBucket.MatchString(bucket):
		return fmt.Errorf("bucket %s is not ours: it has no tag %s; left alone", bucket, TagKey)
	}
	if _, err := w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket, ExpectedBucketOwner: owner}); err != nil && codeOf(err) != "NoSuchBucket" {
		return fmt.Errorf("delete bucket %s: %w", bucket, err)
	}
	return nil
}

func (w *workshop) emptyBucket(ctx context.Context, bucket string, owner *string) error {
	if _, err := w.s3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &bucket, ExpectedBucketOwner: owner}); err != nil && codeOf(err) != "NoSuchBucketPolicy" {
		return fmt.Errorf("delete the policy of bucket %s: %w", bucket, err)
	}
	objects, err := w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, ExpectedBucketOwner: owner})
	if err != nil {
		return fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	for _, o := range objects.Contents {
		if _, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key, ExpectedBucketOwner: owner}); err != nil {
			return fmt.Errorf("delete %s of bucket %s: %w", aws.ToString(o.Key), bucket, err)
		}
	}
	return nil
}
