package services

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// Accounts of the plans: who has the queue, who runs the pods, who has the role
// at the end of the chain, and who runs one more cluster.
const (
	shopAccount  = "111111111111"
	podsAccount  = "222222222222"
	vaultAccount = "333333333333"
	otherAccount = "444444444444"
)

// A podPlan is a plan for pods that is deployed into a sandbox.
type podPlan struct {
	t      *testing.T
	box    *sandboxtest.Sandbox
	plan   *grant.Plan
	stacks *sandboxtest.Deployment
	arns   map[string]string // of clusters, by their keys in the manifest
}

const podManifest = `
version: 1
accounts:
  shop-prod: {id: "111111111111", regions: [us-east-1]}
  bi-prod: {id: "222222222222", regions: [us-east-1]}
  vault-prod: {id: "333333333333", regions: [us-east-1]}
  other: {id: "444444444444", regions: [us-east-1]}
apps:
  shop: {accounts: {prod: shop-prod}}
  vault: {accounts: {prod: vault-prod}}
clusters:
%s
consumers:
  bi:
    accounts: {production: bi-prod}
    role: {name: pods, service_account: {namespace: reports, name: reader, via: %s, clusters: {production: [%s]}%s}}
resources:
  jobs: {kind: sqs-queue, name: "{stage}-jobs", app: shop, create: {}}
  reader: {kind: role, name: "{stage}-reader", app: vault, permissions: [{actions: ["sqs:GetQueueAttributes"], resources: ["arn:aws:sqs:{region}:{account}:secrets"]}]}
grants:
%s
`

const (
	jobsGrant   = `  - {name: jobs, consumer: bi, resource: jobs, access: consume}` + "\n"
	readerGrant = `  - {name: reader, consumer: bi, resource: reader, access: assume}` + "\n"
)

// newPodPlan makes the clusters, compiles the manifest with their issuers, and
// deploys the stacks in the order of their waves.
func newPodPlan(t *testing.T, o sandbox.Options, via, settings, grants string, clusters ...string) *podPlan {
	t.Helper()
	p := &podPlan{t: t, box: sandboxtest.NewWith(t, o, shopAccount, podsAccount, vaultAccount, otherAccount), arns: map[string]string{}}
	var declared strings.Builder
	for _, name := range clusters {
		account, key, provider := podsAccount, "bi-prod", ""
		if name == "abroad" {
			account, key = otherAccount, "other"
		}
		arn, issuer := newCluster(t, p.box, account, name)
		if name == "imported" {
			newProvider(t, p.box, podsAccount, issuer, "sts.amazonaws.com")
			provider = ", provider: exists"
		}
		p.arns[name] = arn
		fmt.Fprintf(&declared, "  %s: {account: %s, issuer: %q%s}\n", name, key, issuer, provider)
	}
	m, err := grant.Parse(fmt.Appendf(nil, podManifest, declared.String(), via, strings.Join(clusters, ", "), settings, grants))
	if err != nil {
		t.Fatal(err)
	}
	if p.plan, err = grant.Compile(m, grant.Options{Format: grant.CloudFormation}); err != nil {
		t.Fatal(err)
	}
	if report, err := p.plan.Check(); err != nil || len(report.Failures) > 0 {
		t.Fatalf("the plan's own check: %+v, %v", report, err)
	}
	secrets := sqs.NewFromConfig(p.box.Account(vaultAccount).Config())
	if _, err := secrets.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("secrets")}); err != nil {
		t.Fatal(err)
	}
	p.stacks = sandboxtest.NewDeployment(p.box.Sandbox, p.plan)
	if err := p.stacks.Deploy(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// remove deletes the stacks, the last wave first, and checks that nothing of the
// plan is left.
func (p *podPlan) remove() {
	p.t.Helper()
	if err := p.stacks.Remove(ctx); err != nil {
		p.t.Fatal(err)
	}
	for _, account := range []string{shopAccount, podsAccount, vaultAccount} {
		roles, err := iam.NewFromConfig(p.box.Account(account).Config()).ListRoles(ctx, &iam.ListRolesInput{})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, r := range roles.Roles {
			if !strings.HasPrefix(*r.RoleName, "cluster-") {
				p.t.Errorf("%s is left", *r.Arn)
			}
		}
	}
}

const (
	podsRole   = "arn:aws:iam::" + podsAccount + ":role/pods"
	readerRole = "arn:aws:iam::" + vaultAccount + ":role/prod-reader"
)

// uses checks that pods use what they were given, and nothing beside it: the
// queue with the role of the pods, and through the reader's role what that may.
func (p *podPlan) uses(pods aws.Config) {
	p.t.Helper()
	jobs := "https://sqs.us-east-1.amazonaws.com/" + shopAccount + "/prod-jobs"
	_, err := sqs.NewFromConfig(pods).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &jobs})
	wantCode(p.t, err, "")
	wantCode(p.t, send(sqs.NewFromConfig(pods), jobs), "AccessDenied")
	p.reads(p.box.Assume(pods, readerRole))
	_, err = sts.NewFromConfig(pods).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(podsRole), RoleSessionName: aws.String("again")})
	wantCode(p.t, err, "AccessDenied")
}

// reads checks that a session of the reader's role may do what the role may, and
// nothing beside it.
func (p *podPlan) reads(reader aws.Config) {
	p.t.Helper()
	secrets := "https://sqs.us-east-1.amazonaws.com/" + vaultAccount + "/secrets"
	_, err := sqs.NewFromConfig(reader).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &secrets})
	wantCode(p.t, err, "")
	wantCode(p.t, send(sqs.NewFromConfig(reader), secrets), "AccessDenied")
}

// tokenFile is a token as a pod finds it in a file.
type tokenFile string

func (f tokenFile) GetIdentityToken() ([]byte, error) { return []byte(f), nil }

// irsa returns the configuration of a pod, as the SDK makes it of the token and
// the role that are in the pod's environment.
func (p *podPlan) irsa(cluster string) aws.Config {
	token := serviceAccountToken(p.t, p.box, sandbox.ServiceAccount{Cluster: p.arns[cluster], Namespace: "reports", Name: "reader"})
	client := sts.New(sts.Options{Region: sandboxtest.Region, HTTPClient: p.box.Client()})
	return aws.Config{Region: sandboxtest.Region, HTTPClient: p.box.Client(), Credentials: aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(client, podsRole, tokenFile(token)))}
}

// A compiled plan for pods in four clusters, as many as one trust policy holds,
// of which one has its provider already and one is in another account: every
// cluster's service account uses the queue and the role of a third account, and
// nobody else gets in.
func TestPlanForPodsByIRSA(t *testing.T) {
	clock := &settableClock{}
	p := newPodPlan(t, sandbox.Options{Clock: clock.Now}, "irsa", "", jobsGrant+readerGrant, "blue", "green", "imported", "abroad")
	for cluster := range p.arns {
		p.uses(p.irsa(cluster))
	}

	stranger, strangeIssuer := newCluster(t, p.box, podsAccount, "stranger")
	valid := sandbox.ServiceAccount{Cluster: p.arns["blue"], Namespace: "reports", Name: "reader"}
	with := func(change func(*sandbox.ServiceAccount)) string {
		t.Helper()
		a := valid
		change(&a)
		return serviceAccountToken(t, p.box, a)
	}
	described := newIssuer(p.issuer("blue"))
	claims := described.claims()
	claims["sub"], claims["aud"] = "system:serviceaccount:reports:reader", []string{"sts.amazonaws.com"}
	refused := func(what, token, want string) {
		t.Helper()
		_, err := assumeWith(p.box, podsRole, token)
		if got := code(t, err); got != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	refused("the service account", with(func(*sandbox.ServiceAccount) {}), "")
	refused("another namespace", with(func(a *sandbox.ServiceAccount) { a.Namespace = "other" }), "AccessDenied")
	refused("another service account", with(func(a *sandbox.ServiceAccount) { a.Name = "other" }), "AccessDenied")
	refused("a cluster without a provider", with(func(a *sandbox.ServiceAccount) { a.Cluster = stranger }), "InvalidIdentityToken")
	refused("an audience that the provider does not list", with(func(a *sandbox.ServiceAccount) { a.Audience = "vault" }), "InvalidIdentityToken")
	refused("a foreign key", described.sign("RS256", "r", claims), "InvalidIdentityToken")
	refused("no signature", described.sign("none", "", claims), "InvalidIdentityToken")

	// What the providers would let in, the trust policy still refuses.
	newProvider(t, p.box, podsAccount, strangeIssuer, "sts.amazonaws.com")
	refused("another cluster", with(func(a *sandbox.ServiceAccount) { a.Cluster = stranger }), "AccessDenied")
	provider := "arn:aws:iam::" + podsAccount + ":oidc-provider/" + strings.TrimPrefix(described.url, "https://")
	if _, err := iam.NewFromConfig(p.box.Account(podsAccount).Config()).AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &provider, ClientID: aws.String("vault")}); err != nil {
		t.Fatal(err)
	}
	refused("an audience of the provider that the role does not trust", with(func(a *sandbox.ServiceAccount) { a.Audience = "vault" }), "AccessDenied")

	// The role at the end of the chain is for the pods' role alone.
	_, err := sts.NewFromConfig(p.box.Account(podsAccount).User("intruder", allowAll)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(readerRole), RoleSessionName: aws.String("intruder")})
	wantCode(t, err, "AccessDenied")

	short := with(func(a *sandbox.ServiceAccount) { a.Lifetime = 10 * time.Minute })
	lasting := with(func(*sandbox.ServiceAccount) {})
	clock.Advance(16 * time.Minute)
	refused("an expired token", short, "ExpiredTokenException")
	refused("one that has not expired", lasting, "")
	clock.Advance(-16 * time.Minute)

	pods := p.irsa("blue")
	p.uses(pods)
	p.remove()
	refused("after the removal", lasting, "InvalidIdentityToken")
	if _, err := sts.NewFromConfig(pods).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
		t.Error("the session outlives its role")
	}
}

// issuer returns the issuer of a cluster, as EKS shows it.
func (p *podPlan) issuer(cluster string) string {
	p.t.Helper()
	out, err := eks.NewFromConfig(p.box.Account(podsAccount).Config()).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &cluster})
	if err != nil {
		p.t.Fatal(err)
	}
	return *out.Cluster.Identity.Oidc.Issuer
}

// The documented ways of Pod Identity: the pods of the service account get the
// role of the association in each cluster, known by session tags; and with one
// role to go on to, that one at once, known by the tags or by an external ID.
func TestPlanForPodsByPodIdentity(t *testing.T) {
	for _, test := range []struct {
		name, settings, grants string
		target                 bool
	}{
		{name: "tags", grants: jobsGrant + readerGrant},
		{name: "tags and target role", grants: readerGrant, target: true},
		{name: "external ID and target role", settings: ", session_tags: false", grants: readerGrant, target: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPodPlan(t, sandbox.Options{}, "pod-identity", test.settings, test.grants, "blue", "green")
			node := p.box.Account(podsAccount).User("node", nodePolicy)
			token := func(change func(*sandbox.ServiceAccount)) string {
				a := sandbox.ServiceAccount{Cluster: p.arns["blue"], Namespace: "reports", Name: "reader", Audience: "pods.eks.amazonaws.com"}
				change(&a)
				return serviceAccountToken(t, p.box, a)
			}
			for cluster, arn := range p.arns {
				got, refused := askAgent(t, p.box, node, cluster, token(func(a *sandbox.ServiceAccount) { a.Cluster = arn }))
				if refused != "" {
					t.Fatalf("%s: %s", cluster, refused)
				}
				if test.target {
					p.reads(got.config(p.box))
				} else {
					p.uses(got.config(p.box))
				}
			}
			refused := func(what, cluster, token, want string) {
				t.Helper()
				if _, got := askAgent(t, p.box, node, cluster, token); got != want {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			refused("another namespace", "blue", token(func(a *sandbox.ServiceAccount) { a.Namespace = "other" }), "ResourceNotFoundException")
			refused("another service account", "blue", token(func(a *sandbox.ServiceAccount) { a.Name = "other" }), "ResourceNotFoundException")
			refused("another audience", "blue", token(func(a *sandbox.ServiceAccount) { a.Audience = "sts.amazonaws.com" }), "InvalidTokenException")
			refused("the token of another cluster", "green", token(func(*sandbox.ServiceAccount) {}), "InvalidTokenException")

			// Who may write associations could give the role to other pods. The
			// policies refuse them: the first role's by the tags, the target's by
			// the external ID.
			in := &eks.CreatePodIdentityAssociationInput{ClusterName: aws.String("blue"), Namespace: aws.String("reports"), ServiceAccount: aws.String("intruder"), RoleArn: aws.String(podsRole)}
			if test.target {
				in.TargetRoleArn = aws.String(readerRole)
			}
			in.DisableSessionTags = aws.Bool(test.settings != "")
			if _, err := eks.NewFromConfig(p.box.Account(podsAccount).Config()).CreatePodIdentityAssociation(ctx, in); err != nil {
				t.Fatal(err)
			}
			refused("another service account's association", "blue", token(func(a *sandbox.ServiceAccount) { a.Name = "intruder" }), "AccessDeniedException")

			p.remove()
			refused("after the removal", "blue", token(func(*sandbox.ServiceAccount) {}), "ResourceNotFoundException")
		})
	}
}
