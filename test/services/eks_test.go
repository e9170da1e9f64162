package services

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// A settable clock is where a test has set it, and runs on from there.
type settableClock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *settableClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *settableClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

var vpc = &ekstypes.VpcConfigRequest{SubnetIds: []string{"subnet-1", "subnet-2"}}

// newCluster makes an EKS cluster and returns its ARN and issuer.
func newCluster(t *testing.T, box *sandboxtest.Sandbox, account, name string) (arn, issuer string) {
	t.Helper()
	client := eks.NewFromConfig(box.Account(account).User("eks-admin-"+name, allowAll))
	role := box.Account(account).Role("cluster-"+name, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}}`, nil)
	out, err := client.CreateCluster(ctx, &eks.CreateClusterInput{Name: &name, RoleArn: &role, ResourcesVpcConfig: vpc})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Cluster.Arn, *out.Cluster.Identity.Oidc.Issuer
}

func serviceAccountToken(t *testing.T, box *sandboxtest.Sandbox, a sandbox.ServiceAccount) string {
	t.Helper()
	token, err := box.ServiceAccountToken(a)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// assumeWith shows a token to STS without any credentials.
func assumeWith(box *sandboxtest.Sandbox, role, token string, more ...func(*sts.AssumeRoleWithWebIdentityInput)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("pod"), WebIdentityToken: &token}
	for _, change := range more {
		change(in)
	}
	return sts.New(sts.Options{Region: sandboxtest.Region, HTTPClient: box.Client(), RetryMaxAttempts: 1}).AssumeRoleWithWebIdentity(ctx, in)
}

// A testIssuer is an identity provider of a test's own, whose tokens may say
// anything.
type testIssuer struct {
	url string
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

var testKeys = sync.OnceValue(func() *testIssuer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &testIssuer{rsa: rsaKey, ec: ecKey}
})

func newIssuer(url string) *testIssuer {
	keys := testKeys()
	return &testIssuer{url: url, rsa: keys.rsa, ec: keys.ec}
}

// keySet is the public keys: "r" and "e".
func (i *testIssuer) keySet() []byte {
	encode := base64.RawURLEncoding.EncodeToString
	x, y := make([]byte, 32), make([]byte, 32)
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	copy(x, point[1:33])
	copy(y, point[33:])
	return fmt.Appendf(nil, `{"keys":[{"kty":"RSA","kid":"r","use":"sig","alg":"RS256","n":%q,"e":"AQAB"},{"kty":"EC","kid":"e","crv":"P-256","x":%q,"y":%q},{"kty":"oct","kid":"o","k":"c2VjcmV0"}]}`,
		encode(i.rsa.N.Bytes()), encode(x), encode(y))
}

// claims are those of a token that is valid now.
func (i *testIssuer) claims() map[string]any {
	return map[string]any{"iss": i.url, "sub": "subject", "aud": "client", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
}

// sign makes a token by an algorithm; "none" has no signature, and HS256 takes
// the public key for a secret, as an old attack does.
func (i *testIssuer) sign(algorithm, kid string, claims map[string]any) string {
	return i.signWith(map[string]any{"alg": algorithm, "kid": kid, "typ": "JWT"}, claims)
}

func (i *testIssuer) signWith(head, claims map[string]any) string {
	encode := base64.RawURLEncoding.EncodeToString
	header, err := json.Marshal(head)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch head["alg"] {
	case "RS384":
		sum := sha512.Sum384([]byte(signed))
		signature, err = rsa.SignPKCS1v15(nil, i.rsa, crypto.SHA384, sum[:])
	case "RS256":
		signature, err = rsa.SignPKCS1v15(nil, i.rsa, crypto.SHA256, sum[:])
	case "ES256", "ES384": // with the same key, of which ES384 must not be made
		digest := sum[:]
		if head["alg"] == "ES384" {
			long := sha512.Sum384([]byte(signed))
			digest = long[:]
		}
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, i.ec, digest)
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "HS256":
		mac := hmac.New(sha256.New, i.rsa.N.Bytes())
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	if err != nil {
		panic(err)
	}
	return signed + "." + encode(signature)
}

var iamCapability = []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}

func stackParameter(key, value string) []cfntypes.Parameter {
	return []cfntypes.Parameter{{ParameterKey: &key, ParameterValue: &value}}
}

// stackOutputs returns the outputs of a stack that must have a status.
func stackOutputs(t *testing.T, client *cloudformation.Client, name, status string) map[string]string {
	t.Helper()
	out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out.Stacks[0].StackStatus); got != status {
		events, _ := client.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &name})
		for _, e := range events.StackEvents {
			if e.ResourceStatusReason != nil {
				t.Logf("%s: %s", aws.ToString(e.LogicalResourceId), *e.ResourceStatusReason)
			}
		}
		t.Fatalf("the stack %s is %s, want %s", name, got, status)
	}
	outputs := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	return outputs
}
