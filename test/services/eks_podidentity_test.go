package services

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const podTrust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`

// nodePolicy is what nodes have in AmazonEKSWorkerNodePolicy.
const nodePolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"*"}}`

// podCredentials is the answer of EKS Auth.
type podCredentials struct {
	Subject                struct{ Namespace, ServiceAccount string }
	Audience               string
	PodIdentityAssociation struct{ AssociationARN, AssociationID string }
	AssumedRoleUser        struct{ ARN, AssumeRoleID string }
	Credentials            struct {
		AccessKeyID, SecretAccessKey, SessionToken string
		Expiration                                 float64
	}
}

func (p *podCredentials) config(box *sandboxtest.Sandbox) aws.Config {
	return box.Config(sandbox.Credentials{AccessKeyID: p.Credentials.AccessKeyID, SecretAccessKey: p.Credentials.SecretAccessKey, SessionToken: p.Credentials.SessionToken})
}

// askAgent asks EKS Auth as the Pod Identity Agent of a node does. It returns the
// error's code, "" for success. There is no SDK for Go where this test is built;
// test/clients asks with boto3.
func askAgent(t *testing.T, box *sandboxtest.Sandbox, node aws.Config, cluster, token string) (*podCredentials, string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, "https://eks-auth."+sandboxtest.Region+".api.aws/clusters/"+cluster+"/assume-role-for-pod-identity", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	credentials, err := node.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if err := signer.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), "eks-auth", sandboxtest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := box.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token) {
		t.Errorf("the answer shows the token: %s", data)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, answer.Header.Get("X-Amzn-Errortype")
	}
	out := &podCredentials{}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return out, ""
}

// A podBench is a cluster, a node, and a role for a service account.
type podBench struct {
	t       *testing.T
	box     *sandboxtest.Sandbox
	eks     *eks.Client
	node    aws.Config
	cluster string // ARN
}

const podRole = "arn:aws:iam::" + owner + ":role/pods"

func newPodBench(t *testing.T, o sandbox.Options, trust string) *podBench {
	t.Helper()
	b := &podBench{t: t, box: sandboxtest.NewWith(t, o, owner, friend)}
	b.eks = eks.NewFromConfig(b.box.Account(owner).User("admin", allowAll))
	b.node = b.box.Account(owner).User("node", nodePolicy)
	b.cluster, _ = newCluster(t, b.box, owner, "live")
	b.box.Account(owner).Role("pods", trust, []string{allowAll})
	return b
}

func (b *podBench) associate(change func(*eks.CreatePodIdentityAssociationInput)) (*eks.CreatePodIdentityAssociationOutput, error) {
	in := &eks.CreatePodIdentityAssociationInput{ClusterName: aws.String("live"), Namespace: aws.String("reports"), ServiceAccount: aws.String("reader"), RoleArn: aws.String(podRole)}
	if change != nil {
		change(in)
	}
	return b.eks.CreatePodIdentityAssociation(ctx, in)
}

func (b *podBench) mustAssociate(change func(*eks.CreatePodIdentityAssociationInput)) *eks.CreatePodIdentityAssociationOutput {
	b.t.Helper()
	out, err := b.associate(change)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *podBench) token(change func(*sandbox.ServiceAccount)) string {
	b.t.Helper()
	a := sandbox.ServiceAccount{Cluster: b.cluster, Namespace: "reports", Name: "reader", Pod: "reader-7d5b9c", Audience: "pods.eks.amazonaws.com"}
	if change != nil {
		change(&a)
	}
	return serviceAccountToken(b.t, b.box, a)
}

// Who gets credentials of an association's role, and who does not.
func TestPodIdentity(t *testing.T) {
	b := newPodBench(t, sandbox.Options{}, podTrust)
	created := b.mustAssociate(nil)
	other, _ := newCluster(t, b.box, owner, "other")
	otherToken := b.token(func(a *sandbox.ServiceAccount) { a.Cluster = other })
	strangeNode := b.box.Account(owner).User("plain", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"eks:*","Resource":"*"}}`)
	foreignNode := b.box.Account(friend).User("node", nodePolicy)
	valid := b.token(nil)

	issuer := newIssuer("https://oidc.eks.us-east-1.amazonaws.com/id/0")
	described, err := b.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("live")})
	if err != nil {
		t.Fatal(err)
	}
	issuer.url = *described.Cluster.Identity.Oidc.Issuer
	claims := issuer.claims()
	claims["aud"], claims["sub"] = "pods.eks.amazonaws.com", "system:serviceaccount:reports:reader"
	claims["kubernetes.io"] = map[string]any{"namespace": "reports", "serviceaccount": map[string]string{"name": "reader"}, "pod": map[string]string{"name": "pod"}}

	for _, test := range []struct {
		name    string
		node    aws.Config
		cluster string
		token   string
		want    string
	}{
		{"the service account", b.node, "live", valid, ""},
		{"another namespace", b.node, "live", b.token(func(a *sandbox.ServiceAccount) { a.Namespace = "other" }), "ResourceNotFoundException"},
		{"another service account", b.node, "live", b.token(func(a *sandbox.ServiceAccount) { a.Name = "other" }), "ResourceNotFoundException"},
		{"token of another cluster", b.node, "live", otherToken, "InvalidTokenException"},
		{"at another cluster", b.node, "other", otherToken, "ResourceNotFoundException"},
		{"cluster that is not there", b.node, "missing", valid, "ResourceNotFoundException"},
		{"token for STS", b.node, "live", b.token(func(a *sandbox.ServiceAccount) { a.Audience = "sts.amazonaws.com" }), "InvalidTokenException"},
		{"foreign key", b.node, "live", issuer.sign("RS256", "r", claims), "InvalidTokenException"},
		{"no token", b.node, "live", "bm8.dG9rZW4.eA", "InvalidTokenException"},
		{"caller that is no node", strangeNode, "live", valid, "AccessDeniedException"},
		{"node of another account", foreignNode, "live", valid, "ResourceNotFoundException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, refused := askAgent(t, b.box, test.node, test.cluster, test.token)
			if refused != test.want {
				t.Fatalf("%s, want %s", refused, test.want)
			}
			if got == nil {
				return
			}
			who, err := sts.NewFromConfig(got.config(b.box)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			if err != nil || *who.Arn != got.AssumedRoleUser.ARN || *who.UserId != got.AssumedRoleUser.AssumeRoleID || !strings.HasPrefix(*who.Arn, "arn:aws:sts::"+owner+":assumed-role/pods/eks-live-reader-7d5b9c-") {
				t.Errorf("%+v, %v", who, err)
			}
			if got.PodIdentityAssociation.AssociationARN != *created.Association.AssociationArn || got.Subject.Namespace != "reports" || got.Subject.ServiceAccount != "reader" || got.Audience != "pods.eks.amazonaws.com" {
				t.Errorf("%+v", got)
			}
			if left := time.Until(time.Unix(int64(got.Credentials.Expiration), 0)); left < 5*time.Hour || left > 6*time.Hour {
				t.Errorf("credentials for %s", left)
			}
		})
	}

	parts := strings.Split(valid, ".")
	if _, refused := askAgent(t, b.box, b.node, "live", parts[0]+"."+parts[1]+"."); refused != "InvalidTokenException" {
		t.Errorf("a token without its signature: %s", refused)
	}
	if _, err := b.eks.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: aws.String("live"), AssociationId: created.Association.AssociationId}); err != nil {
		t.Fatal(err)
	}
	if _, refused := askAgent(t, b.box, b.node, "live", valid); refused != "ResourceNotFoundException" {
		t.Errorf("after the association was deleted: %s", refused)
	}
}

// An expired token is refused.
func TestPodIdentityTokensExpire(t *testing.T) {
	clock := &settableClock{offset: -14 * time.Minute}
	b := newPodBench(t, sandbox.Options{Clock: clock.Now}, podTrust)
	b.mustAssociate(nil)
	token := b.token(func(a *sandbox.ServiceAccount) { a.Lifetime = 10 * time.Minute })
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {14 * time.Minute, ""}, {2 * time.Minute, "ExpiredTokenException"}} {
		clock.Advance(step.after)
		if _, refused := askAgent(t, b.box, b.node, "live", token); refused != step.want {
			t.Errorf("%s later: %q, want %q", step.after, refused, step.want)
		}
	}
}

// What EKS sends when it assumes the role, as the trust policy sees it.
func TestPodIdentityTrust(t *testing.T) {
	statement := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},` + rest + `}]}`
	}
	const both = `"Action":["sts:AssumeRole","sts:TagSession"]`
	when := func(condition string) string { return statement(both + `,"Condition":{` + condition + `}`) }
	const cluster = "arn:aws:eks:us-east-1:" + owner + ":cluster/live"
	for _, test := range []struct {
		name, trust string
		untagged    bool
		want        string // of the request for credentials
	}{
		{name: "any pod", trust: podTrust},
		{name: "the tags", trust: when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"reports","aws:RequestTag/kubernetes-service-account":"reader","aws:RequestTag/eks-cluster-arn":"` + cluster + `","aws:RequestTag/eks-cluster-name":"live","aws:RequestTag/kubernetes-pod-name":"reader-7d5b9c"}`)},
		{name: "other namespace", trust: when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"other"}`), want: "AccessDeniedException"},
		{name: "tags that are not sent", trust: when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"reports"}`), untagged: true, want: "AccessDeniedException"},
		{name: "no tags", trust: statement(`"Action":"sts:AssumeRole"`), untagged: true},
		{name: "account and cluster", trust: when(`"StringEquals":{"aws:SourceAccount":"` + owner + `"},"ArnEquals":{"aws:SourceArn":"` + cluster + `"}`)},
		{name: "another cluster", trust: when(`"ArnEquals":{"aws:SourceArn":"` + cluster + `s"}`), want: "AccessDeniedException"},
		{name: "another account", trust: when(`"StringEquals":{"aws:SourceAccount":"` + friend + `"}`), want: "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newPodBench(t, sandbox.Options{}, test.trust)
			b.mustAssociate(func(in *eks.CreatePodIdentityAssociationInput) { in.DisableSessionTags = &test.untagged })
			if _, refused := askAgent(t, b.box, b.node, "live", b.token(nil)); refused != test.want {
				t.Errorf("%q, want %q", refused, test.want)
			}
		})
	}
}

// The two ways in which a target role knows its pods: by transitive tags, and by
// the external ID that EKS shows in the association.
func TestPodIdentityTargetRole(t *testing.T) {
	principal := `"Principal":{"AWS":"` + owner + `"},"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + podRole + `"},"StringEquals":{`
	byTags := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],` + principal + `"aws:RequestTag/kubernetes-namespace":"reports","aws:RequestTag/kubernetes-service-account":"reader"}}}}`
	byID := func(id string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",` + principal + `"sts:ExternalId":"` + id + `"}}}}`
	}
	const id = "us-east-1/" + owner + "/live/reports/reader"
	for _, test := range []struct {
		name, trust string
		untagged    bool
		want        string
	}{
		{name: "tags", trust: byTags},
		{name: "tags that are not sent", trust: byTags, untagged: true, want: "AccessDeniedException"},
		{name: "external ID", trust: byID(id), untagged: true},
		{name: "external ID and tags that are not allowed", trust: byID(id), want: "AccessDeniedException"},
		{name: "another external ID", trust: byID(id + "s"), untagged: true, want: "AccessDeniedException"},
		{name: "another role", trust: strings.Replace(byID(id), podRole, podRole+"s", 1), untagged: true, want: "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newPodBench(t, sandbox.Options{}, podTrust)
			target := b.box.Account(friend).Role("target", test.trust, nil)
			created := b.mustAssociate(func(in *eks.CreatePodIdentityAssociationInput) {
				in.TargetRoleArn, in.DisableSessionTags = &target, &test.untagged
			})
			if aws.ToString(created.Association.ExternalId) != id {
				t.Errorf("external ID %v, want %s", aws.ToString(created.Association.ExternalId), id)
			}
			got, refused := askAgent(t, b.box, b.node, "live", b.token(nil))
			if refused != test.want {
				t.Fatalf("%q, want %q", refused, test.want)
			}
			if got == nil {
				return
			}
			if !strings.HasPrefix(got.AssumedRoleUser.ARN, "arn:aws:sts::"+friend+":assumed-role/target/eks-live-") {
				t.Errorf("the session is %s", got.AssumedRoleUser.ARN)
			}
			if left := time.Until(time.Unix(int64(got.Credentials.Expiration), 0)); left > time.Hour {
				t.Errorf("a chained session lives %s", left)
			}
		})
	}
}

// What an association must be when it is written.
func TestPodIdentityAssociationsAreChecked(t *testing.T) {
	b := newPodBench(t, sandbox.Options{}, podTrust)
	account := b.box.Account(owner)
	irsa := account.Role("irsa", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+owner+`:oidc-provider/x.example.com"},"Action":"sts:AssumeRoleWithWebIdentity"}}`, nil)
	untaggable := account.Role("untaggable", strings.Replace(podTrust, `,"sts:TagSession"`, "", 1), nil)
	foreign := b.box.Account(friend).Role("foreign", podTrust, nil)
	for _, test := range []struct {
		name, want string
		change     func(*eks.CreatePodIdentityAssociationInput)
	}{
		{"no such cluster", "ResourceNotFoundException", func(in *eks.CreatePodIdentityAssociationInput) { in.ClusterName = aws.String("missing") }},
		{"namespace", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.Namespace = aws.String("Reports") }},
		{"service account", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.ServiceAccount = aws.String("a/b") }},
		{"role that does not exist", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = aws.String(podRole + "s") }},
		{"role with another path", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) {
			in.RoleArn = aws.String(strings.Replace(podRole, "role/", "role/x/", 1))
		}},
		{"role that does not trust EKS", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = &irsa }},
		{"role that takes no tags", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = &untaggable }},
		{"role of another account", "AccessDeniedException", func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = &foreign }},
		{"target that is no role", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.TargetRoleArn = aws.String("target") }},
		{"policy with session tags", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) { in.Policy = aws.String(allowAll) }},
		{"policy that is none", "InvalidParameterException", func(in *eks.CreatePodIdentityAssociationInput) {
			in.Policy, in.DisableSessionTags = aws.String("{}"), aws.Bool(true)
		}},
	} {
		_, err := b.associate(test.change)
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	_, err := b.associate(func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = &foreign })
	if err == nil || !strings.Contains(err.Error(), "Cross-account pass role is not allowed.") {
		t.Errorf("role of another account: %v", err)
	}
	b.mustAssociate(nil)
	_, err = b.associate(nil)
	wantCode(t, err, "ResourceInUseException")

	// Passing the role needs iam:PassRole to EKS's Pod Identity, for this cluster.
	within := func(cluster string) string {
		return `,"Condition":{"StringEquals":{"iam:AssociatedResourceArn":"arn:aws:eks:us-east-1:` + owner + `:cluster/` + cluster + `"}}`
	}
	for _, test := range []struct{ name, pass, want string }{
		{"to pods", `,"Condition":{"StringEquals":{"iam:PassedToService":"pods.eks.amazonaws.com"}}`, ""},
		{"to Lambda", `,"Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`, "AccessDeniedException"},
		{"for another cluster", within("other"), "AccessDeniedException"},
		{"for the cluster", within("live"), ""},
	} {
		writer := account.User(fmt.Sprintf("writer-%d", len(test.name)), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"`+test.pass+`}]}`)
		_, err := eks.NewFromConfig(writer).CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{ClusterName: aws.String("live"), Namespace: aws.String("passed"), ServiceAccount: aws.String(fmt.Sprintf("reader-%d", len(test.name))), RoleArn: aws.String(podRole)})
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// An association's policy limits the target role, or the role if there is none.
func TestPodIdentitySessionPolicy(t *testing.T) {
	const noSTS = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	b := newPodBench(t, sandbox.Options{}, podTrust)
	created := b.mustAssociate(func(in *eks.CreatePodIdentityAssociationInput) {
		in.Policy, in.DisableSessionTags = aws.String(noSTS), aws.Bool(true)
	})
	listRoles := func() string {
		t.Helper()
		got, refused := askAgent(t, b.box, b.node, "live", b.token(nil))
		if refused != "" {
			t.Fatal(refused)
		}
		_, err := eks.NewFromConfig(got.config(b.box)).ListClusters(ctx, &eks.ListClustersInput{})
		return code(t, err)
	}
	if got := listRoles(); got != "AccessDeniedException" {
		t.Errorf("with the policy: %q", got)
	}
	target := b.box.Account(friend).Role("target", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+owner+`"},"Action":"sts:AssumeRole"}}`, []string{allowAll})
	update := func(change func(*eks.UpdatePodIdentityAssociationInput)) error {
		in := &eks.UpdatePodIdentityAssociationInput{ClusterName: aws.String("live"), AssociationId: created.Association.AssociationId}
		change(in)
		_, err := b.eks.UpdatePodIdentityAssociation(ctx, in)
		return err
	}
	wantCode(t, update(func(*eks.UpdatePodIdentityAssociationInput) {}), "InvalidParameterException")
	wantCode(t, update(func(in *eks.UpdatePodIdentityAssociationInput) { in.DisableSessionTags = aws.Bool(false) }), "InvalidParameterException")
	// The first role needs sts:AssumeRole, which the policy does not limit now.
	wantCode(t, update(func(in *eks.UpdatePodIdentityAssociationInput) { in.TargetRoleArn = &target }), "")
	if got := listRoles(); got != "AccessDeniedException" {
		t.Errorf("with policy and target: %q", got)
	}
	wantCode(t, update(func(in *eks.UpdatePodIdentityAssociationInput) { in.Policy = aws.String("") }), "")
	if got := listRoles(); got != "" {
		t.Errorf("with the target alone: %q", got)
	}
}

// Clusters and associations through the API, with their tags and another
// account's administrator.
func TestEKSClustersAndAssociations(t *testing.T) {
	b := newPodBench(t, sandbox.Options{}, podTrust)
	created := b.mustAssociate(func(in *eks.CreatePodIdentityAssociationInput) { in.Tags = map[string]string{"team": "blue"} })
	b.mustAssociate(func(in *eks.CreatePodIdentityAssociationInput) { in.Namespace = aws.String("other") })
	list, err := b.eks.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{ClusterName: aws.String("live"), Namespace: aws.String("reports")})
	if err != nil || len(list.Associations) != 1 || *list.Associations[0].AssociationId != *created.Association.AssociationId {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := b.eks.TagResource(ctx, &eks.TagResourceInput{ResourceArn: created.Association.AssociationArn, Tags: map[string]string{"stage": "prod"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.eks.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: created.Association.AssociationArn, TagKeys: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	shown, err := b.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: aws.String("live"), AssociationId: created.Association.AssociationId})
	if err != nil || len(shown.Association.Tags) != 1 || shown.Association.Tags["stage"] != "prod" || *shown.Association.RoleArn != podRole || shown.Association.ExternalId != nil {
		t.Errorf("%+v, %v", shown, err)
	}
	wantNoCluster := func(role, want string) {
		t.Helper()
		_, err := b.eks.CreateCluster(ctx, &eks.CreateClusterInput{Name: aws.String("another"), RoleArn: &role, ResourcesVpcConfig: vpc})
		if got := code(t, err); got != want {
			t.Errorf("a cluster with the role %s: %v, want %s", role, err, want)
		}
	}
	wantNoCluster(podRole, "InvalidParameterException")
	wantNoCluster("arn:aws:iam::"+friend+":role/cluster", "AccessDeniedException")
	_, err = b.eks.CreateCluster(ctx, &eks.CreateClusterInput{Name: aws.String("live"), RoleArn: aws.String("arn:aws:iam::" + owner + ":role/cluster-live"), ResourcesVpcConfig: vpc})
	wantCode(t, err, "ResourceInUseException")

	stranger := eks.NewFromConfig(b.box.Account(friend).User("admin", allowAll))
	_, err = stranger.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("live")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = stranger.TagResource(ctx, &eks.TagResourceInput{ResourceArn: created.Association.AssociationArn, Tags: map[string]string{"stage": "x"}})
	wantCode(t, err, "AccessDeniedException")

	token := b.token(nil)
	irsa := serviceAccountToken(t, b.box, sandbox.ServiceAccount{Cluster: b.cluster, Namespace: "reports", Name: "reader"})
	described, err := b.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("live")})
	if err != nil {
		t.Fatal(err)
	}
	issuer := *described.Cluster.Identity.Oidc.Issuer
	newProvider(t, b.box, owner, issuer, "sts.amazonaws.com")
	trusting := b.box.Account(owner).Role("trusting", federatedTrust("arn:aws:iam::"+owner+":oidc-provider/"+strings.TrimPrefix(issuer, "https://"), "{}"), nil)
	_, err = assumeWith(b.box, trusting, irsa)
	wantCode(t, err, "")
	if _, err := b.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: aws.String("live")}); err != nil {
		t.Fatal(err)
	}
	if _, refused := askAgent(t, b.box, b.node, "live", token); refused != "ResourceNotFoundException" {
		t.Errorf("after the cluster was deleted: %s", refused)
	}
	_, err = assumeWith(b.box, trusting, irsa)
	wantCode(t, err, "InvalidIdentityToken")
	if _, err := b.box.ServiceAccountToken(sandbox.ServiceAccount{Cluster: b.cluster, Namespace: "reports", Name: "reader"}); err == nil {
		t.Error("a token of a cluster that was deleted")
	}
	all, err := b.eks.ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil || len(all.Clusters) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

const eksStack = `
Parameters: {Target: {Type: String, Default: ""}}
Conditions: {Targeted: !Not [!Equals [!Ref Target, ""]]}
Resources:
  ClusterRole: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: eks.amazonaws.com}, Action: "sts:AssumeRole"}]}}}
  Cluster: {Type: AWS::EKS::Cluster, Properties: {Name: stacked, RoleArn: !GetAtt ClusterRole.Arn, ResourcesVpcConfig: {SubnetIds: [subnet-1, subnet-2]}, Tags: [{Key: team, Value: blue}]}}
  Provider: {Type: AWS::IAM::OIDCProvider, Properties: {Url: !GetAtt Cluster.OpenIdConnectIssuerUrl, ClientIdList: [sts.amazonaws.com]}}
  PodRole: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: pods.eks.amazonaws.com}, Action: ["sts:AssumeRole", "sts:TagSession"]}]}}}
  Association: {Type: AWS::EKS::PodIdentityAssociation, Properties: {ClusterName: !Ref Cluster, Namespace: reports, ServiceAccount: reader, RoleArn: !GetAtt PodRole.Arn, TargetRoleArn: !If [Targeted, !Ref Target, !Ref AWS::NoValue]}}
Outputs:
  Issuer: {Value: !GetAtt Cluster.OpenIdConnectIssuerUrl}
  Provider: {Value: !Ref Provider}
  Association: {Value: !GetAtt Association.AssociationArn}
`

// A stack makes cluster, provider, role and association in one go,
// changes the association in place, and removes everything.
func TestEKSStack(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(admin)
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("eks"), TemplateBody: aws.String(eksStack), Capabilities: iamCapability}); err != nil {
		t.Fatal(err)
	}
	outputs := stackOutputs(t, stacks, "eks", "CREATE_COMPLETE")
	if provider := "arn:aws:iam::" + owner + ":oidc-provider/" + strings.TrimPrefix(outputs["Issuer"], "https://"); outputs["Provider"] != provider {
		t.Errorf("the provider is %s, want %s", outputs["Provider"], provider)
	}
	client := eks.NewFromConfig(admin)
	target := "arn:aws:iam::" + friend + ":role/target"
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("eks"), UsePreviousTemplate: aws.Bool(true), Capabilities: iamCapability, Parameters: stackParameter("Target", target)}); err != nil {
		t.Fatal(err)
	}
	updated := stackOutputs(t, stacks, "eks", "UPDATE_COMPLETE")
	if updated["Association"] != outputs["Association"] || updated["Issuer"] != outputs["Issuer"] {
		t.Errorf("%v became %v", outputs, updated)
	}
	list, err := client.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{ClusterName: aws.String("stacked")})
	if err != nil || len(list.Associations) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	shown, err := client.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: aws.String("stacked"), AssociationId: list.Associations[0].AssociationId})
	if err != nil || aws.ToString(shown.Association.TargetRoleArn) != target {
		t.Errorf("%+v, %v", shown, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("eks")}); err != nil {
		t.Fatal(err)
	}
	all, err := client.ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil || len(all.Clusters) != 0 {
		t.Errorf("left: %+v, %v", all, err)
	}
}
