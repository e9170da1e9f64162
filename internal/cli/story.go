package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
	"github.com/crossaccount/crossaccount/sandbox"
)

// The cast of the demo.
const (
	vendorAccount = "111122223333"
	acmeAccount   = "444455556666"
	globexAccount = "777788889999"

	vendorBucket = "example-templates"
	acmeBucket   = "acme-reports"
	acmeObject   = "2026/q3.csv"
)

// A story is the demo: its steps, and what they hand on to each other. All
// calls are made with AWS's own SDK.
type story struct {
	box     *sandbox.Sandbox
	out     io.Writer
	json    bool
	details []string // what the present step said so far, for JSON

	vendor, acme, globex aws.Config // administrators of the three accounts
	client               *crossaccount.Client
	told                 bool // the story is over, so waiting is real again

	link     *crossaccount.IntegrationResponse
	roleARN  string
	customer aws.Config // credentials for acme's role
}

// A storyStep is what --json prints of a step, one to a line.
type storyStep struct {
	Type    string   `json:"type"` // step
	Step    int      `json:"step"` // from 1
	Title   string   `json:"title"`
	Outcome string   `json:"outcome"` // passed or failed
	Details []string `json:"details"`
	Error   string   `json:"error,omitempty"`
	Seconds float64  `json:"seconds"`
}

func (s *story) run(ctx context.Context) error {
	defer func() { s.told = true }()
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Three AWS accounts: the vendor Example, its customers Acme and Globex", s.accounts},
		{"Example prepares its account: a template bucket, a broker role, a probe role, a canary role", s.prepare},
		{"Acme begins: Example makes an external ID, publishes the template and gives a launch link", s.start},
		{"Acme opens the link and creates the stack", s.launch},
		{"Example verifies the role, above all what must not work", s.verify},
		{"Example uses the role", s.use},
		{"A call outside the permissions is refused", s.outside},
		{"Acme removes the setup permissions, and Example can see that they are gone", s.finishSetup},
		{"A look-alike role that forgets the external ID is refused", s.lookAlike},
		{"An impostor, Globex presenting Acme's role, is refused", s.impostor},
	} {
		if err := s.tell(ctx, i+1, step.title, step.do); err != nil {
			if ctx.Err() != nil {
				return &exitError{ExitUndetermined, errors.New("interrupted")}
			}
			return &exitError{ExitNo, fmt.Errorf("step %d did not go as expected", i+1)}
		}
	}
	return nil
}

// tell carries out a step and prints how it went.
func (s *story) tell(ctx context.Context, number int, title string, do func(context.Context) error) error {
	if !s.json {
		fmt.Fprintf(s.out, "\n%2d. %s\n", number, title)
		err := do(ctx)
		if err != nil {
			fmt.Fprintf(s.out, "    FAILED: %v\n", err)
		}
		return err
	}
	s.details = []string{}
	started := time.Now()
	err := do(ctx)
	step := storyStep{Type: "step", Step: number, Title: title, Outcome: "passed", Details: s.details, Seconds: time.Since(started).Seconds()}
	if err != nil {
		step.Outcome, step.Error = "failed", err.Error()
	}
	return errors.Join(err, printJSONLine(s.out, step))
}

// say prints something that is worth knowing of the present step.
func (s *story) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.json {
		s.details = append(s.details, strings.TrimSpace(text))
		return
	}
	fmt.Fprintf(s.out, "    %s\n", text)
}

// refusals counts the calls that the sandbox refused to authorise.
func (s *story) refusals() int {
	n := 0
	for _, call := range s.box.Calls() {
		if call.Code == "AccessDenied" {
			n++
		}
	}
	return n
}

// config signs with the given credentials and reaches the sandbox within the
// process. There is no network in it, so nothing can reach AWS.
func (s *story) config(c sandbox.Credentials) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		HTTPClient:  s.box.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	}
}

func (s *story) accounts(ctx context.Context) error {
	for _, a := range []struct {
		name, id string
		config   *aws.Config
	}{
		{"Example", vendorAccount, &s.vendor}, {"Acme", acmeAccount, &s.acme}, {"Globex", globexAccount, &s.globex},
	} {
		account, err := s.box.CreateAccount(a.id)
		if err != nil {
			return err
		}
		// Administrators, because root users should not be used for anything.
		if *a.config, err = s.createUser(ctx, s.config(account.Root()), "admin", administrator); err != nil {
			return err
		}
		s.say("%s is account %s", a.name, a.id)
	}
	_, err := s3.NewFromConfig(s.acme).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(acmeBucket)})
	if err != nil {
		return err
	}
	_, err = s3.NewFromConfig(s.acme).PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(acmeBucket), Key: aws.String(acmeObject), Body: strings.NewReader("quarter,revenue\n2026Q3,42\n"),
	})
	return err
}

func (s *story) prepare(ctx context.Context) error {
	broker, probe, err := s.prepareVendor(ctx)
	if err != nil {
		return err
	}
	s.client, err = crossaccount.New(&crossaccount.Config{
		ServiceName:      "Example",
		ServiceAccountID: vendorAccount,
		AWSConfig:        broker,
		TemplateS3Bucket: vendorBucket,
		OngoingPermissions: []crossaccount.Permission{{
			Sid: "ReadReports", Effect: "Allow",
			Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::*-reports/*"},
		}},
		SetupPermissions: []crossaccount.Permission{{
			Sid: "FindBuckets", Effect: "Allow",
			Actions: []string{"s3:ListAllMyBuckets"}, Resources: []string{"*"},
		}},
	},
		crossaccount.WithProbe(probe),
		crossaccount.WithBrokerRole(vendorRole("broker")),
		crossaccount.WithProbeRole(vendorRole("probe")),
		crossaccount.WithCanaryRole(vendorRole("canary")),
		crossaccount.WithLogger(slog.New(slog.DiscardHandler)), // memory storage is what a demo wants
		crossaccount.WithTenantResolver(server.PageCustomer),   // for the page afterwards
		crossaccount.WithWait(s.wait),
	)
	if err != nil {
		return err
	}
	s.say("✓ the broker may assume customers' roles only with an external ID, the probe also without")
	return nil
}

func (s *story) start(ctx context.Context) error {
	var err error
	s.link, err = s.client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "acme", CustomerName: "Acme"})
	if err != nil {
		return err
	}
	// The link is Acme's. Showing it here in full would show the external ID.
	s.say("%s", strings.ReplaceAll(s.link.LaunchURL, s.link.ExternalID, hidden(s.link.ExternalID)))
	again, err := s.client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "acme"})
	if err != nil {
		return err
	}
	if again.ExternalID != s.link.ExternalID {
		return errors.New("asking again gave another external ID")
	}
	s.say("✓ asking again gives the same external ID")
	return nil
}

// hidden shows how an external ID begins, and no more.
func hidden(externalID string) string { return externalID[:min(8, len(externalID)/4)] + "…" }

func (s *story) launch(ctx context.Context) error {
	link, err := crossaccount.ParseLaunchLink(s.link.LaunchURL)
	if err != nil {
		return err
	}
	var parameters []cfntypes.Parameter
	for name, value := range link.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	client := cloudformation.NewFromConfig(s.acme, func(o *cloudformation.Options) { o.Region = link.Region })
	_, err = client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName:    &link.StackName,
		TemplateURL:  &link.TemplateURL,
		Parameters:   parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	})
	if err != nil {
		return err
	}
	outputs, err := s.waitForStack(ctx, client, link.StackName)
	if err != nil {
		return err
	}
	s.roleARN = outputs[crossaccount.OutputRoleARN]
	s.say("stack %s is complete: %s", link.StackName, s.roleARN)
	return nil
}

func (s *story) waitForStack(ctx context.Context, client *cloudformation.Client, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		described, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
		if err != nil {
			return nil, err
		}
		stack := described.Stacks[0]
		switch status := string(stack.StackStatus); {
		case status == "CREATE_COMPLETE" || status == "UPDATE_COMPLETE":
			outputs := map[string]string{}
			for _, o := range stack.Outputs {
				outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
			}
			return outputs, nil
		case !strings.HasSuffix(status, "_IN_PROGRESS"):
			return nil, fmt.Errorf("the stack is %s: %s", status, aws.ToString(stack.StackStatusReason))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *story) verify(ctx context.Context) error {
	report, err := s.client.Verify(ctx, &crossaccount.VerificationRequest{CustomerID: "acme", RoleARN: s.roleARN})
	if err != nil {
		return err
	}
	s.printSteps(report)
	s.printPermissions(report)
	if err := report.Err(); err != nil {
		return err
	}
	if !report.Controlled {
		return errors.New("the refusals were not shown to come from the role")
	}
	for _, name := range []string{crossaccount.StepMissing, crossaccount.StepWrong, crossaccount.StepCaseFlipped} {
		if step := report.Step(name); step == nil || step.Result != crossaccount.Passed {
			return fmt.Errorf("the check %q did not pass", name)
		}
	}
	return nil
}

func (s *story) printSteps(report *crossaccount.Report) {
	marks := map[crossaccount.Result]string{
		crossaccount.Passed: "✓", crossaccount.Failed: "✗", crossaccount.Inconclusive: "?", crossaccount.Skipped: "-",
	}
	for _, step := range report.Steps {
		if step.Result == crossaccount.Skipped {
			continue
		}
		s.say("%s %s", marks[step.Result], step.Expectation)
		if step.Result != crossaccount.Passed {
			s.say("    %s", strings.Join([]string{step.Detail, step.Remedy}, "; "))
		}
	}
}

func (s *story) printPermissions(report *crossaccount.Report) {
	for _, p := range report.Permissions {
		s.say("  permission %s: %s", p.Sid, p.State)
	}
	for _, p := range report.SetupPermissions {
		s.say("  setup permission %s: %s", p.Sid, p.State)
	}
}

func (s *story) use(ctx context.Context) error {
	err := s.client.StoreCustomerCredentials(ctx, &crossaccount.StoreCredentialsRequest{CustomerID: "acme", RoleARN: s.roleARN})
	if err != nil {
		return err
	}
	if s.customer, err = s.client.AssumeCustomerRole(ctx, "acme"); err != nil {
		return err
	}
	object, err := s3.NewFromConfig(s.customer).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(acmeBucket), Key: aws.String(acmeObject)})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	body, err := io.ReadAll(object.Body)
	if err != nil {
		return err
	}
	s.say("✓ read s3://%s/%s: %q", acmeBucket, acmeObject, body)
	return nil
}

func (s *story) outside(ctx context.Context) error {
	_, err := s3.NewFromConfig(s.customer).PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(acmeBucket), Key: aws.String(acmeObject), Body: strings.NewReader("overwritten"),
	})
	if err == nil {
		return errors.New("the role could write, which the template does not permit")
	}
	if code := errorCode(err); code != "AccessDenied" {
		return fmt.Errorf("expected AccessDenied, got %s: %w", code, err)
	}
	s.say("✓ s3:PutObject is refused")
	calls := s.box.Calls()
	for _, d := range calls[len(calls)-1].Decisions {
		for line := range strings.Lines(d.Explain().String()) {
			s.say("  %s", strings.TrimRight(line, "\n"))
		}
	}
	return nil
}

func (s *story) finishSetup(ctx context.Context) error {
	client := cloudformation.NewFromConfig(s.acme)
	parameters := []cfntypes.Parameter{{ParameterKey: aws.String(crossaccount.ParameterSetupPhase), ParameterValue: aws.String("false")}}
	for _, name := range []string{crossaccount.ParameterExternalID, crossaccount.ParameterPreviousExternalID, crossaccount.ParameterRoleName} {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(name), UsePreviousValue: aws.Bool(true)})
	}
	_, err := client.UpdateStack(ctx, &cloudformation.UpdateStackInput{
		StackName:           &s.link.StackName,
		UsePreviousTemplate: aws.Bool(true),
		Parameters:          parameters,
		Capabilities:        []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	})
	if err != nil {
		return err
	}
	if _, err := s.waitForStack(ctx, client, s.link.StackName); err != nil {
		return err
	}
	report, err := s.client.Check(ctx, "acme", s.link.IntegrationID)
	if err != nil {
		return err
	}
	s.printPermissions(report)
	if err := report.Err(); err != nil {
		return err
	}
	for _, p := range report.SetupPermissions {
		if p.State != crossaccount.PermissionRemoved {
			return fmt.Errorf("setup permission %s is %s, expected removed", p.Sid, p.State)
		}
	}
	s.say("✓ the setup permissions are gone, the others still work")
	return nil
}

func (s *story) lookAlike(ctx context.Context) error {
	if _, err := s.client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "globex", CustomerName: "Globex"}); err != nil {
		return err
	}
	// Globex makes the role by hand and forgets the condition.
	trust := policy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + vendorAccount + `:root"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}`)
	role, err := iam.NewFromConfig(s.globex).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("example-access"), AssumeRolePolicyDocument: &trust})
	if err != nil {
		return err
	}
	return s.expectRefused(ctx, aws.ToString(role.Role.Arn), crossaccount.CodeExternalIDNotRequired)
}

func (s *story) impostor(ctx context.Context) error {
	before := len(s.box.Calls())
	if err := s.expectRefused(ctx, s.roleARN, crossaccount.CodePropagating); err != nil {
		return err
	}
	tries := 0
	for _, call := range s.box.Calls()[before:] {
		if call.Operation != "AssumeRole" {
			continue
		}
		for _, d := range call.Decisions {
			if d.Action != "sts:AssumeRole" || d.Resource != s.roleARN {
				continue
			}
			if call.Code != "AccessDenied" {
				return errors.New("AWS let Globex's external ID in")
			}
			tries++
		}
	}
	if tries == 0 {
		return errors.New("AWS was not asked")
	}
	s.say("✓ AWS itself refused every try: the role trusts the external ID of Acme, and Example used that of Globex")

	answer := func(roleARN string) string {
		return fmt.Sprint(s.client.VerifyIntegration(ctx, &crossaccount.VerificationRequest{CustomerID: "globex", RoleARN: roleARN}))
	}
	if taken, none := answer(s.roleARN), answer(s.roleARN+"-nobodys"); taken != none {
		return fmt.Errorf("of Acme's role Globex hears %q, of one that does not exist %q", taken, none)
	}
	s.say("✓ a role that does not exist gets the same answer, so Globex cannot find out whose roles Example uses")
	return nil
}

// wait is how the client waits between two tries. In the story nobody has to:
// its sandbox applies changes at once.
func (s *story) wait(ctx context.Context, d time.Duration) error {
	if !s.told {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// expectRefused lets Globex present a role, and sees that it is neither
// verified nor stored.
func (s *story) expectRefused(ctx context.Context, roleARN string, codes ...crossaccount.Code) error {
	s.say("Globex presents %s", roleARN)
	err := s.client.VerifyIntegration(ctx, &crossaccount.VerificationRequest{CustomerID: "globex", RoleARN: roleARN})
	if !isOneOf(err, codes) {
		return fmt.Errorf("verification said: %w", err)
	}
	s.say("✓ refused (%s): %v", crossaccount.CodeOf(err), err)
	err = s.client.StoreCustomerCredentials(ctx, &crossaccount.StoreCredentialsRequest{CustomerID: "globex", RoleARN: roleARN})
	if !isOneOf(err, codes) {
		return fmt.Errorf("storing it said: %w", err)
	}
	if _, err := s.client.AssumeCustomerRole(ctx, "globex"); !errors.Is(err, crossaccount.CodeNotVerified) {
		return fmt.Errorf("using it said: %w", err)
	}
	s.say("✓ not stored either, and no credentials are given")
	return nil
}

func isOneOf(err error, codes []crossaccount.Code) bool {
	for _, code := range codes {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
