package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// ourBucket matches the names of buckets the recorder makes.
var ourBucket = regexp.MustCompile(`^` + Prefix + `-[0-9a-f]{8}-[0-9]+$`)

// Cleanup finds what runs left behind in an account and removes it; with dryRun
// it only finds. Every thing found is passed to say before it is removed.
// Things of a run that is still going on are removed too. It goes on after
// errors and returns all of them.
func Cleanup(ctx context.Context, o *Operator, dryRun bool, say func(string)) (found int, err error) {
	w := newWorkshop(o)
	var errs []error
	each := func(what, name string, remove func(context.Context, string) error) {
		found++
		say(fmt.Sprintf("%s %s in account %s", what, name, o.Account))
		if !dryRun {
			errs = append(errs, remove(ctx, name))
		}
	}
	roles := iam.NewListRolesPaginator(w.iam, &iam.ListRolesInput{PathPrefix: aws.String("/" + Prefix + "/")})
	for roles.HasMorePages() {
		page, err := roles.NextPage(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("list roles of account %s: %w", o.Account, err))
			break
		}
		for _, r := range page.Roles {
			each("role", aws.ToString(r.RoleName), w.removeRole)
		}
	}
	policies := iam.NewListPoliciesPaginator(w.iam, &iam.ListPoliciesInput{PathPrefix: aws.String("/" + Prefix + "/"), Scope: "Local"})
	for policies.HasMorePages() {
		page, err := policies.NextPage(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("list policies of account %s: %w", o.Account, err))
			break
		}
		for _, p := range page.Policies {
			each("policy", aws.ToString(p.Arn), w.removePolicy)
		}
	}
	buckets := s3.NewListBucketsPaginator(w.s3, &s3.ListBucketsInput{Prefix: aws.String(Prefix + "-")})
	for buckets.HasMorePages() {
		page, err := buckets.NextPage(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("list buckets of account %s: %w", o.Account, err))
			break
		}
		for _, b := range page.Buckets {
			if name := aws.ToString(b.Name); strings.HasPrefix(name, Prefix+"-") {
				each("bucket", name, w.removeBucket)
			}
		}
	}
	return found, errors.Join(errs...)
}
