// Command three-ways deploys crossaccount.yaml into AWS accounts that enforce IAM
// and are in this process, lets one application read a secret and a table of
// another account in three ways, tries what must be refused, and removes
// everything.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/examples/three-ways/app"
	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

//go:embed crossaccount.yaml
var manifest []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "three-ways:", err)
		os.Exit(1)
	}
}

const (
	region   = "us-east-1"
	keyAlias = "alias/shop"
	tableARN = "arn:aws:dynamodb:us-east-1:111111111111:table/prod-prices"

	functionRole = "arn:aws:iam::222222222222:role/reports-by-role"
	namedRole    = "arn:aws:iam::222222222222:role/reports-by-policy"
	podRole      = "arn:aws:iam::222222222222:role/reports-in-pod"
	roleForRole  = "arn:aws:iam::111111111111:role/shop-for-by-role"
	roleForPod   = "arn:aws:iam::111111111111:role/shop-for-in-pod"
)

// run tells the story. It ends with an error where something does not go as the
// README says.
func run(ctx context.Context, out io.Writer) error {
	w := &world{box: sandbox.New(sandbox.Options{}), accounts: map[string]*sandbox.Account{}}
	m, err := grant.Parse(manifest)
	if err != nil {
		return err
	}
	for name, a := range m.Accounts {
		if w.accounts[name], err = w.box.CreateAccount(a.ID); err != nil {
			return err
		}
	}
	cluster, issuer, err := w.cluster(ctx)
	if err != nil {
		return err
	}
	blue := m.Clusters["blue"]
	blue.Issuer = issuer // the cluster's, in the place of the example's
	m.Clusters["blue"] = blue
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		return err
	}
	stacks := sandboxtest.NewDeployment(w.box, plan)
	stacks.Out = out
	// What is left are policies of VPC endpoints, which the sandbox does not have.
	stacks.Apply = func(context.Context, aws.Config, *grant.Apply) error { return nil }
	if err := stacks.Deploy(ctx); err != nil {
		return err
	}
	secretARN, keyARN, err := w.fill(ctx, plan)
	if err != nil {
		return err
	}
	if err := w.checked(plan, out); err != nil {
		return err
	}

	s := &story{out: out, names: app.Names{Secret: "prod/database", Table: "prod-prices"}, arns: app.Names{Secret: secretARN, Table: tableARN}, key: keyARN}
	s.first(ctx, w, plan)
	s.second(ctx, w, plan)
	s.third(ctx, w, plan, cluster)
	if s.err != nil {
		return s.err
	}
	if err := stacks.Remove(ctx); err != nil {
		return err
	}
	left, err := w.left(ctx)
	if err != nil {
		return err
	}
	if left != "" {
		return errors.New("left after the removal: " + left)
	}
	fmt.Fprintln(out, "\nRemoved in reverse, and no role, provider or table is left.")
	return nil
}

// checked evaluates the compiled policies, those of the VPC endpoints among them,
// which the sandbox cannot deploy: it has no networks.
func (w *world) checked(plan *grant.Plan, out io.Writer) error {
	report, err := plan.Check()
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("the plan's own check: %+v", report.Failures)
	}
	fmt.Fprintln(out, "\nChecked, through the VPC endpoints too: every declared request is allowed, no neighbour is")
	return nil
}

// A story prints what happens, and remembers what should not have.
type story struct {
	out         io.Writer
	names, arns app.Names
	key         string
	err         error
}

// works prints what a step that must succeed has to say.
func (s *story) works(what string, step func() (string, error)) {
	said, err := step()
	if err != nil {
		s.err = errors.Join(s.err, fmt.Errorf("%s: %w", what, err))
		said = err.Error()
	}
	fmt.Fprintf(s.out, "  %-22s%s\n", what, said)
}

// refused prints how a step was refused, which must be with the given code.
func (s *story) refused(what, code string, step func() error) {
	err := step()
	got := codeOf(err)
	if got != code {
		s.err = errors.Join(s.err, fmt.Errorf("%s: %q and not %q", what, got, code), err)
	}
	said := "allowed"
	if err != nil {
		said = "refused: " + got + where(err)
	}
	fmt.Fprintf(s.out, "  %-22s%s\n", what, said)
}

var askedFor = regexp.MustCompile(`(?:on resource: |Alias )arn:aws:[a-z]+:[a-z0-9-]*:(\d{12}):`)

// where says in which account AWS looked for what was asked for, if its message
// does.
func where(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	if found := askedFor.FindStringSubmatch(api.ErrorMessage()); found != nil {
		return " in " + found[1]
	}
	return ""
}

// codeOf is AWS's code for what went wrong; empty if nothing did.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return string(broker.CodeOf(err))
	}
	return ""
}

func (s *story) read(ctx context.Context, config aws.Config, names app.Names) (string, error) {
	report, err := app.Read(ctx, config, names)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("tea is %s, the password has %d characters", report.Price, len(report.Password)), nil
}

// identity prints who AWS takes the application for, and until when.
func (s *story) identity(ctx context.Context, config aws.Config) {
	s.works("who", func() (string, error) {
		who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return strings.Join(strings.Split(*who.Arn, "/")[:2], "/"), nil
	})
	s.works("until", func() (string, error) {
		c, err := config.Credentials.Retrieve(ctx)
		if err != nil || !c.CanExpire {
			return "as long as the function's own", err
		}
		return "a session of " + time.Until(c.Expires).Round(time.Minute).String(), nil
	})
}

// policies prints the compiled policies that serve grants whose names begin so, and the
// account of each.
func (s *story) policies(plan *grant.Plan, prefix string) {
	mine := func(name string) bool { return strings.HasPrefix(name, prefix) }
	for _, d := range plan.Documents() {
		if !slices.ContainsFunc(d.Grants, mine) {
			continue
		}
		fmt.Fprintf(s.out, "  %-22s%s\n", "in "+d.Account, d.Title)
	}
}

func describe(ctx context.Context, config aws.Config, key string) (string, error) {
	_, err := kms.NewFromConfig(config).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	return "found", err
}

// write is what no way allows.
func (s *story) write(ctx context.Context, config aws.Config) {
	s.refused("writing a price", "AccessDeniedException", func() error {
		_, err := dynamodb.NewFromConfig(config).PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.arns.Table, Item: tea("0.01")})
		return err
	})
}

func tea(price string) map[string]dynamodbtypes.AttributeValue {
	return map[string]dynamodbtypes.AttributeValue{"item": &dynamodbtypes.AttributeValueMemberS{Value: "tea"}, "price": &dynamodbtypes.AttributeValueMemberN{Value: price}}
}

// first is role assumption.
func (s *story) first(ctx context.Context, w *world, plan *grant.Plan) {
	fmt.Fprintln(s.out, "\n1. A function assumes a role")
	s.policies(plan, "role-")
	s.works("tags of the role", func() (string, error) { return w.tags(ctx, "shop-for-by-role") })
	s.runs(w.asFunction(ctx, functionRole, func(ctx context.Context, own aws.Config) error {
		config, b, err := byRole(own, roleForRole)
		if err != nil {
			return err
		}
		s.identity(ctx, config)
		s.works("by full ARNs", func() (string, error) { return s.read(ctx, config, s.arns) })
		s.works("by names", func() (string, error) { return s.read(ctx, config, s.names) })
		s.works("key by its alias", func() (string, error) { return describe(ctx, config, keyAlias) })
		s.write(ctx, config)
		s.refused("without the role", "AccessDeniedException", func() error { _, err := s.read(ctx, own, s.arns); return err })
		return b.Close(ctx)
	}))
	s.runs(w.asFunction(ctx, w.stranger, func(ctx context.Context, own aws.Config) error {
		s.refused("another function", "AccessDenied", func() error { return assume(ctx, own, roleForRole) })
		return nil
	}))
}

func assume(ctx context.Context, own aws.Config, role string) error {
	_, err := sts.NewFromConfig(own).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("reports")})
	return err
}

// second is resource policies.
func (s *story) second(ctx context.Context, w *world, plan *grant.Plan) {
	fmt.Fprintln(s.out, "\n2. The resources admit a function")
	s.policies(plan, "policy-")
	s.runs(w.asFunction(ctx, namedRole, func(ctx context.Context, own aws.Config) error {
		config := byPolicy(own)
		s.identity(ctx, config)
		s.works("by full ARNs", func() (string, error) { return s.read(ctx, config, s.arns) })
		s.refused("by names", "AccessDeniedException", func() error { _, err := s.read(ctx, config, s.names); return err })
		s.works("key by its ARN", func() (string, error) { return describe(ctx, config, s.key) })
		s.refused("key by its alias", "NotFoundException", func() error { _, err := describe(ctx, config, keyAlias); return err })
		s.write(ctx, config)
		return nil
	}))
	s.runs(w.asFunction(ctx, w.stranger, func(ctx context.Context, own aws.Config) error {
		s.refused("another function", "AccessDeniedException", func() error { _, err := s.read(ctx, own, s.arns); return err })
		return nil
	}))
	s.refused("a role not there yet", "MalformedPolicyDocumentException", func() error {
		_, err := secretsmanager.NewFromConfig(w.config("shop-prod")).PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: &s.names.Secret, ResourcePolicy: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + namedRole + `-v2"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`)})
		return err
	})
}

// third is a pod.
func (s *story) third(ctx context.Context, w *world, plan *grant.Plan, cluster string) {
	fmt.Fprintln(s.out, "\n3. A pod, by the token of its service account")
	s.policies(plan, "pod-")
	pod := func(name string) (aws.Config, *broker.Broker, error) {
		token, err := w.box.ServiceAccountToken(sandbox.ServiceAccount{Cluster: cluster, Namespace: "reports", Name: name})
		if err != nil {
			return aws.Config{}, nil, err
		}
		return inPod(aws.Config{Region: region, HTTPClient: w.box.Client()}, podRole, tokenFile(token), roleForPod)
	}
	config, b, err := pod("reader")
	if err != nil {
		s.runs(err)
		return
	}
	s.identity(ctx, config)
	s.works("by full ARNs", func() (string, error) { return s.read(ctx, config, s.arns) })
	s.works("by names", func() (string, error) { return s.read(ctx, config, s.names) })
	s.write(ctx, config)
	s.runs(b.Close(ctx))
	intruder, b, err := pod("intruder")
	if err != nil {
		s.runs(err)
		return
	}
	s.refused("another pod", "AccessDenied", func() error { _, err := s.read(ctx, intruder, s.arns); return err })
	s.runs(b.Close(ctx))
	s.runs(w.asFunction(ctx, w.stranger, func(ctx context.Context, own aws.Config) error {
		s.refused("a function", "AccessDenied", func() error { return assume(ctx, own, roleForPod) })
		return nil
	}))
}

// runs remembers a failure of what the story needs.
func (s *story) runs(err error) { s.err = errors.Join(s.err, err) }
