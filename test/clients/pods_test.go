package clients_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// podStack is a cluster and the roles of the service account reports/reader: one
// for IRSA and one for Pod Identity.
const podStack = `
Resources:
  ClusterRole: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: eks.amazonaws.com}, Action: "sts:AssumeRole"}]}}}
  Cluster: {Type: AWS::EKS::Cluster, Properties: {Name: live, RoleArn: !GetAtt ClusterRole.Arn, ResourcesVpcConfig: {SubnetIds: [subnet-1, subnet-2]}}}
  Provider: {Type: AWS::IAM::OIDCProvider, Properties: {Url: !GetAtt Cluster.OpenIdConnectIssuerUrl, ClientIdList: [sts.amazonaws.com]}}
  IrsaRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: irsa
      AssumeRolePolicyDocument: !Sub
        - '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"${Provider}"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"${Issuer}:sub":"system:serviceaccount:reports:reader","${Issuer}:aud":"sts.amazonaws.com"}}}}'
        - Issuer: !Select [1, !Split ["//", !GetAtt Cluster.OpenIdConnectIssuerUrl]]
  AgentRole: {Type: AWS::IAM::Role, Properties: {RoleName: agent, AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: pods.eks.amazonaws.com}, Action: ["sts:AssumeRole", "sts:TagSession"]}]}}}
  Association: {Type: AWS::EKS::PodIdentityAssociation, Properties: {ClusterName: !Ref Cluster, Namespace: reports, ServiceAccount: reader, RoleArn: !GetAtt AgentRole.Arn}}
Outputs:
  Cluster: {Value: !GetAtt Cluster.Arn}
`

const irsaRole = "arn:aws:iam::" + customerID + ":role/irsa"

// A podBench is a sandbox on a port, with a cluster and the agent of a node.
type podBench struct {
	t        *testing.T
	box      *sandboxtest.Sandbox
	endpoint string
	cluster  string
	node     sandbox.Credentials
	agent    string // URL
}

func newPodBench(t *testing.T) *podBench {
	t.Helper()
	b := &podBench{t: t, box: sandboxtest.New(t, customerID)}
	client := cloudformation.NewFromConfig(b.box.Account(customerID).Config())
	if _, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("pods"), TemplateBody: aws.String(podStack), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}}); err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("pods")})
	if err != nil {
		t.Fatal(err)
	}
	if s := out.Stacks[0]; s.StackStatus != cfntypes.StackStatusCreateComplete {
		t.Fatalf("%s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	b.cluster = *out.Stacks[0].Outputs[0].OutputValue
	b.endpoint = b.box.Serve()
	b.node = b.box.Account(customerID).UserCredentials("node", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"*"}}`)
	agent := httptest.NewServer(http.HandlerFunc(b.serveAgent))
	t.Cleanup(agent.Close)
	b.agent = agent.URL + "/v1/credentials"
	return b
}

// serveAgent does what the Pod Identity Agent does: a program shows the token of
// its pod, and gets what EKS Auth gives the node for it.
func (b *podBench) serveAgent(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(map[string]string{"token": r.Header.Get("Authorization")})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodPost, b.endpoint+"/clusters/live/assume-role-for-pod-identity", bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(body)
	if err := signer.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: b.node.AccessKeyID, SecretAccessKey: b.node.SecretAccessKey}, ask, hex.EncodeToString(sum[:]), "eks-auth", sandboxtest.Region, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	var out struct {
		Credentials struct {
			AccessKeyID, SecretAccessKey, SessionToken string
			Expiration                                 int64
		}
	}
	if data, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(data, &out) != nil {
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(data)
		return
	}
	c := out.Credentials
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"AccessKeyId": c.AccessKeyID, "SecretAccessKey": c.SecretAccessKey, "Token": c.SessionToken, "Expiration": time.Unix(c.Expiration, 0).UTC().Format(time.RFC3339)})
}

// environment is that of a pod: no credentials, and what EKS sets.
func (b *podBench) environment(set ...string) []string {
	var env []string
	for _, variable := range b.box.Environment(b.endpoint, sandbox.Credentials{}) {
		if name, _, _ := strings.Cut(variable, "="); name != "AWS_ACCESS_KEY_ID" && name != "AWS_SECRET_ACCESS_KEY" {
			env = append(env, variable)
		}
	}
	return append(env, set...)
}

// tokenFile writes the token of a service account to a file, as the kubelet
// does.
func (b *podBench) tokenFile(name, audience string) string {
	b.t.Helper()
	token, err := b.box.ServiceAccountToken(sandbox.ServiceAccount{Cluster: b.cluster, Namespace: "reports", Name: name, Audience: audience})
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// podClients say who they are with the credentials of their environment: the
// ARN, or text with the error.
var podClients = []struct {
	name string
	who  func(t *testing.T, env []string) string
}{
	{"aws-sdk-go-v2", func(t *testing.T, env []string) string {
		sandboxtest.ClearEnvironment(t)
		for _, variable := range env {
			if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
				t.Setenv(name, value)
			}
		}
		c, err := config.LoadDefaultConfig(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		out, err := sts.NewFromConfig(c).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
		if err != nil {
			return err.Error()
		}
		return *out.Arn
	}},
	{"aws", func(t *testing.T, env []string) string {
		return said(t, env, testenv.Tool(t, "aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
	}},
	{"boto3", func(t *testing.T, env []string) string {
		return said(t, env, testenv.Python(t, "boto3"), "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])")
	}},
	{"javascript", func(t *testing.T, env []string) string {
		node, npm := testenv.Tool(t, "node"), testenv.Tool(t, "npm")
		return said(t, append(env, "NODE_PATH="+installJavaScript(t, npm)), node, "-e",
			`const {STSClient, GetCallerIdentityCommand} = require("@aws-sdk/client-sts"); new STSClient({}).send(new GetCallerIdentityCommand({})).then(r => console.log(r.Arn), e => { console.log(e.name, e.message); })`)
	}},
}

// said runs a program and returns what it wrote.
func said(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Env, command.Dir = env, t.TempDir()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return err.Error() + ": " + stderr.String()
	}
	return strings.TrimSpace(stdout.String())
}

// In the environment that EKS gives a pod, AWS's own clients find the
// credentials by themselves, with either way, and are refused with the token of
// another service account.
func TestPods(t *testing.T) {
	for _, client := range podClients {
		t.Run(client.name, func(t *testing.T) {
			b := newPodBench(t)
			irsa := func(name string) []string {
				return b.environment("AWS_ROLE_ARN="+irsaRole, "AWS_WEB_IDENTITY_TOKEN_FILE="+b.tokenFile(name, ""))
			}
			agent := func(name string) []string {
				return b.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI="+b.agent, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+b.tokenFile(name, "pods.eks.amazonaws.com"))
			}
			for _, test := range []struct {
				name, want string
				env        []string
			}{
				{"IRSA", "arn:aws:sts::" + customerID + ":assumed-role/irsa/", irsa("reader")},
				{"Pod Identity", "arn:aws:sts::" + customerID + ":assumed-role/agent/eks-live-pod-", agent("reader")},
			} {
				if got := client.who(t, test.env); !strings.HasPrefix(got, test.want) {
					t.Errorf("%s: %s, want %s…", test.name, got, test.want)
				}
			}
			if got := client.who(t, irsa("other")); !strings.Contains(got, "Not authorized to perform sts:AssumeRoleWithWebIdentity") {
				t.Errorf("IRSA of another service account: %s", got)
			}
			if got := client.who(t, agent("other")); strings.HasPrefix(got, "arn:") {
				t.Errorf("Pod Identity of another service account: %s", got)
			}
		})
	}
}

// EKS Auth answers in the shape that AWS's own client reads.
func TestPodIdentityWithBoto3(t *testing.T) {
	b := newPodBench(t)
	env := b.box.Environment(b.endpoint, b.node)
	got := said(t, env, testenv.Python(t, "boto3"), "-c", `import boto3, sys
auth = boto3.client("eks-auth")
out = auth.assume_role_for_pod_identity(clusterName="live", token=open(sys.argv[1]).read())
print(out["subject"], out["audience"], out["assumedRoleUser"]["arn"].split("/")[1], out["credentials"]["expiration"].tzinfo is not None)
try:
    auth.assume_role_for_pod_identity(clusterName="live", token=open(sys.argv[2]).read())
except auth.exceptions.ResourceNotFoundException:
    print("ResourceNotFoundException")
`, b.tokenFile("reader", "pods.eks.amazonaws.com"), b.tokenFile("other", "pods.eks.amazonaws.com"))
	if want := "{'namespace': 'reports', 'serviceAccount': 'reader'} pods.eks.amazonaws.com agent True\nResourceNotFoundException"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
