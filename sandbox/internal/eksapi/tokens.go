package eksapi

import (
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/restjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A TokenRequest asks for the token of a service account, as the kubelet asks a
// cluster for the token it puts into a pod.
type TokenRequest struct {
	Cluster        string // ARN
	Namespace      string
	ServiceAccount string
	Pod            string
	Audiences      []string
	Now            time.Time
	Lifetime       time.Duration
}

// minLifetime is the shortest life of a token in Kubernetes.
//
// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
const minLifetime = 10 * time.Minute

// Errors of [Service.Token].
var (
	errNoCluster = errors.New("there is no such cluster in this sandbox; its ARN is arn:aws:eks:REGION:ACCOUNT:cluster/NAME")
	errNames     = errors.New("namespace, service account and pod must be names of Kubernetes")
	errLifetime  = errors.New("the lifetime of a service account's token must be ten minutes or more, as in Kubernetes")
)

// Token returns the token of a service account. The sandbox does not look
// whether the service account exists: it has no Kubernetes.
func (s *Service) Token(r TokenRequest) (string, error) {
	s.mu.RLock()
	k := s.clusters[r.Cluster]
	s.mu.RUnlock()
	switch {
	case k == nil:
		return "", errNoCluster
	case !labelPattern.MatchString(r.Namespace), !subdomainPattern.MatchString(r.ServiceAccount), !subdomainPattern.MatchString(r.Pod):
		return "", errNames
	case r.Lifetime < minLifetime:
		return "", errLifetime
	}
	var ids [3]string // of the token, the pod and the service account
	for i := range ids {
		var err error
		if ids[i], err = wire.NewUUID(s.options.Random); err != nil {
			return "", err
		}
	}
	return k.signer.Sign(map[string]any{
		"iss": k.issuer, "sub": subject(r.Namespace, r.ServiceAccount), "aud": r.Audiences,
		"iat": r.Now.Unix(), "nbf": r.Now.Unix(), "exp": r.Now.Add(r.Lifetime).Unix(), "jti": ids[0],
		kubernetesClaim: podClaims{Namespace: r.Namespace, Pod: boundObject{r.Pod, ids[1]}, ServiceAccount: boundObject{r.ServiceAccount, ids[2]}},
	})
}

// kubernetes is what the sandbox has of a cluster's own API server: the request
// by which the kubelet gets tokens for pods, in Kubernetes' form. It is signed
// like a request to EKS, where Kubernetes would want a token of the caller's.
var kubernetes = restjson.Table[*Service]{Service: "eks", Operations: []restjson.Operation[*Service]{
	restjson.Real("TokenRequest", "", "POST "+clusterPath+"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceAccount}/token", http.StatusCreated, (*Service).RequestToken),
}}

var kubernetesPath = regexp.MustCompile(`^/clusters/[^/]+/api/`)

// RequestTokenInput is a TokenRequest of Kubernetes.
type RequestTokenInput struct {
	Cluster        string `json:"-" path:"name"`
	Namespace      string `json:"-" path:"namespace"`
	ServiceAccount string `json:"-" path:"serviceAccount"`
	Spec           struct {
		Audiences         []string `json:"audiences"`
		ExpirationSeconds *int64   `json:"expirationSeconds"`
		BoundObjectRef    *struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"boundObjectRef"`
	} `json:"spec"`
}

// RequestTokenOutput has the token.
type RequestTokenOutput struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Status     struct {
		Token               string    `json:"token"`
		ExpirationTimestamp time.Time `json:"expirationTimestamp"`
	} `json:"status"`
}

// maxExpiration is the longest life of a token that may be asked for, in seconds.
const maxExpiration = 1 << 32

// RequestToken returns the token of a service account to whoever of the cluster's
// account may use its Kubernetes API. In AWS the cluster's access entries say who
// that is; here the action eks:AccessKubernetesApi does. A token is bound to the
// pod that is asked for, or to one called "pod".
//
// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
func (s *Service) RequestToken(c *authz.Call, in *RequestTokenInput) (*RequestTokenOutput, error) {
	s.mu.RLock()
	k, err := s.find(c, in.Cluster, "eks:AccessKubernetesApi")
	s.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	r := TokenRequest{Cluster: k.arn, Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, Pod: "pod", Audiences: in.Spec.Audiences, Now: c.Now, Lifetime: time.Hour}
	if ref := in.Spec.BoundObjectRef; ref != nil {
		if ref.Kind != "Pod" {
			return nil, wire.NotImplemented("eks", "tokens that are bound to a "+wire.Clip(ref.Kind))
		}
		r.Pod = ref.Name
	}
	if n := in.Spec.ExpirationSeconds; n != nil {
		if *n > maxExpiration {
			return nil, invalid("spec.expirationSeconds may be at most %d", maxExpiration)
		}
		r.Lifetime = time.Duration(*n) * time.Second
	}
	if len(r.Audiences) == 0 {
		return nil, invalid("spec.audiences must name whom the token is for, such as sts.amazonaws.com or %s", podAudience)
	}
	out := &RequestTokenOutput{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}
	out.Status.Token, err = s.Token(r)
	switch {
	case errors.Is(err, errNames), errors.Is(err, errLifetime):
		return nil, invalid("%v", err)
	case err != nil:
		return nil, err
	}
	out.Status.ExpirationTimestamp = r.Now.Add(r.Lifetime).UTC().Truncate(time.Second)
	return out, nil
}
