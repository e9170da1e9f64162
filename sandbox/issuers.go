package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/eksapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/sigv4"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// RegisterIssuer tells the sandbox the public keys of an OpenID Connect issuer,
// in place of those it was told before: tokens of the issuer can then be shown to
// AssumeRoleWithWebIdentity. AWS would fetch the keys from the issuer; the
// sandbox makes no connections, so the tokens of an issuer that was not
// registered cannot be verified.
//
// The issuer is the URL in the tokens' claim iss, which begins with https://. The
// keys are a JSON Web Key Set with RSA keys of 2,048 bits or more, or EC keys of
// P-256, P-384 or P-521. Issuers of EKS clusters of the sandbox need not be
// registered, see [Sandbox.ServiceAccountToken].
func (s *Sandbox) RegisterIssuer(issuer string, keys []byte) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("sandbox: the issuer %q is not an https URL; give the one in the claim iss of its tokens", issuer)
	}
	if _, played := s.issuers.Played(issuer); played {
		return fmt.Errorf("sandbox: the issuer %s belongs to an EKS cluster of the sandbox, which has its own key", issuer)
	}
	if err := s.issuers.Register(issuer, keys); err != nil {
		return fmt.Errorf("sandbox: registering the issuer %s: %w", issuer, err)
	}
	return nil
}

// A ServiceAccount is a service account of an EKS cluster, as a pod has it. There
// is no Kubernetes in the sandbox, so any name will do.
type ServiceAccount struct {
	Cluster   string // the cluster's ARN
	Namespace string
	Name      string
	Pod       string // name of the pod; empty means "pod"

	// Audience is what the token is made for: "sts.amazonaws.com" for IAM roles
	// for service accounts, which is the default, and "pods.eks.amazonaws.com"
	// for Pod Identity.
	Audience string

	// Lifetime is how long the token is valid, at least ten minutes as in
	// Kubernetes. Zero means a day, as for IAM roles for service accounts.
	Lifetime time.Duration
}

// ServiceAccountToken returns the token of a service account, signed with the
// cluster's key: what the kubelet would put into a pod as a projected volume, and
// AWS_WEB_IDENTITY_TOKEN_FILE would name. The cluster is made as in AWS, with
// CreateCluster or a stack. The token is valid from the sandbox's time on. From
// outside of Go "crossaccount sandbox token" gets one.
func (s *Sandbox) ServiceAccountToken(a ServiceAccount) (string, error) {
	if a.Pod == "" {
		a.Pod = "pod"
	}
	if a.Audience == "" {
		a.Audience = "sts.amazonaws.com"
	}
	if a.Lifetime == 0 {
		a.Lifetime = 24 * time.Hour
	}
	token, err := s.eks.Token(eksapi.TokenRequest{
		Cluster: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.Name, Pod: a.Pod, Audiences: []string{a.Audience}, Now: s.clock(), Lifetime: a.Lifetime,
	})
	if err != nil {
		return "", fmt.Errorf("sandbox: token of the service account %s/%s of %s: %w", a.Namespace, a.Name, a.Cluster, err)
	}
	return token, nil
}

// Documents of an issuer.
//
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/keys"
)

// serveIssuer answers unsigned requests for the documents of a cluster's issuer,
// by the issuer's own host name or any other: the id in the path tells clusters
// apart, and no bucket has a name of two letters.
func (x *exchange) serveIssuer(signature *sigv4.Signature) bool {
	r := x.request
	if signature != nil || r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/id/") {
		return false
	}
	id, document, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/id/"), "/")
	if !ok {
		return false
	}
	issuer, set, ok := x.sandbox.eks.Issuer(id)
	if !ok {
		return false
	}
	x.name = "eks"
	switch "/" + document {
	case discoveryPath:
		writeDocument(x.answer, map[string]any{
			"issuer": issuer, "jwks_uri": issuer + keysPath, "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"}, "claims_supported": []string{"sub", "iss"},
		})
	case keysPath:
		writeDocument(x.answer, json.RawMessage(set))
	default:
		wire.WriteJSONError(x.answer, x.id, wire.Errorf(http.StatusNotFound, "NotFoundException", "an issuer has %s and %s", discoveryPath, keysPath))
	}
	return true
}

func writeDocument(w http.ResponseWriter, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // texts always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // fails only if the client is gone
}
