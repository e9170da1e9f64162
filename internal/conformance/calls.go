package conformance

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A subject is what a call is about.
type subject int

const (
	aboutNothing subject = iota
	aboutRole
	aboutBucket
	aboutObject
)

// A call is a request the recorder can make as the principal of a case. Calls
// succeed if they are allowed, because what they are about was made before.
type call struct {
	about subject

	// keys are the context keys a request can be given, in lower case; existing
	// says that it also has the tags of the object.
	keys        []string
	existing    bool
	roleSession bool // the call opens a session, which has a name

	do func(ctx context.Context, as aws.Config, i *Item) error
}

// calls are by action, in lower case. They change nothing but what the recorder
// made.
var calls = map[string]call{
	"sts:getcalleridentity": {do: func(ctx context.Context, as aws.Config, _ *Item) error {
		_, err := sts.NewFromConfig(as).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		return err
	}},
	"sts:assumerole": {about: aboutRole, roleSession: true, keys: []string{"sts:externalid", "sts:rolesessionname"},
		do: func(ctx context.Context, as aws.Config, i *Item) error {
			in := &sts.AssumeRoleInput{RoleArn: &i.target.arn, RoleSessionName: aws.String("conformance"), DurationSeconds: aws.Int32(900)}
			if id, ok := i.parameters["sts:externalid"]; ok {
				in.ExternalId = &id
			}
			if name, ok := i.parameters["sts:rolesessionname"]; ok {
				in.RoleSessionName = &name
			}
			_, err := sts.NewFromConfig(as).AssumeRole(ctx, in)
			return err
		}},
	"iam:getrole": {about: aboutRole, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := iam.NewFromConfig(as).GetRole(ctx, &iam.GetRoleInput{RoleName: &i.target.name})
		return err
	}},
	"iam:listrolepolicies": {about: aboutRole, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := iam.NewFromConfig(as).ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &i.target.name})
		return err
	}},
	"s3:getobject": {about: aboutObject, existing: true, do: func(ctx context.Context, as aws.Config, i *Item) error {
		out, err := s3.NewFromConfig(as).GetObject(ctx, &s3.GetObjectInput{Bucket: &i.bucket, Key: &i.key})
		if err == nil {
			err = out.Body.Close()
		}
		return err
	}},
	"s3:getobjecttagging": {about: aboutObject, existing: true, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &i.bucket, Key: &i.key})
		return err
	}},
	"s3:putobject": {about: aboutObject, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).PutObject(ctx, &s3.PutObjectInput{Bucket: &i.bucket, Key: &i.key, Body: strings.NewReader("written by the principal")})
		return err
	}},
	"s3:deleteobject": {about: aboutObject, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &i.bucket, Key: &i.key})
		return err
	}},
	"s3:listbucket": {about: aboutBucket, keys: []string{"s3:prefix", "s3:delimiter"},
		do: func(ctx context.Context, as aws.Config, i *Item) error {
			in := &s3.ListObjectsV2Input{Bucket: &i.bucket}
			if prefix, ok := i.parameters["s3:prefix"]; ok {
				in.Prefix = &prefix
			}
			if delimiter, ok := i.parameters["s3:delimiter"]; ok {
				in.Delimiter = &delimiter
			}
			_, err := s3.NewFromConfig(as).ListObjectsV2(ctx, in)
			return err
		}},
	"s3:getbuckettagging": {about: aboutBucket, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &i.bucket})
		return err
	}},
	"s3:getbucketversioning": {about: aboutBucket, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &i.bucket})
		return err
	}},
	"s3:getbucketlocation": {about: aboutBucket, do: func(ctx context.Context, as aws.Config, i *Item) error {
		_, err := s3.NewFromConfig(as).GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &i.bucket})
		return err
	}},
}
