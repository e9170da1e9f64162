package eksapi

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/stsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// podAudience is what the tokens that pods show the Pod Identity Agent are made
// for.
const podAudience = podPrincipal

// How long credentials of pods live: those of a target role as long as role
// chaining allows.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
const (
	podSession    = 6 * time.Hour
	targetSession = time.Hour
)

// AssumeRoleForPodIdentityInput is the input of AssumeRoleForPodIdentity.
type AssumeRoleForPodIdentityInput struct {
	ClusterName string `json:"-" path:"clusterName"`
	Token       string `json:"token"`
}

// AssumeRoleForPodIdentityOutput has credentials for a pod.
type AssumeRoleForPodIdentityOutput struct {
	Subject                Subject         `json:"subject"`
	Audience               string          `json:"audience"`
	PodIdentityAssociation AssociationName `json:"podIdentityAssociation"`
	AssumedRoleUser        AssumedRoleUser `json:"assumedRoleUser"`
	Credentials            Credentials     `json:"credentials"`
}

// Subject is the service account of the pod.
type Subject struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

// AssociationName names an association.
type AssociationName struct {
	AssociationARN string `json:"associationArn"`
	AssociationID  string `json:"associationId"`
}

// AssumedRoleUser is the session.
type AssumedRoleUser struct {
	ARN          string `json:"arn"`
	AssumeRoleID string `json:"assumeRoleId"`
}

// Credentials are what the pod signs its requests with.
type Credentials struct {
	SessionToken    string          `json:"sessionToken"`
	SecretAccessKey string          `json:"secretAccessKey"`
	AccessKeyID     string          `json:"accessKeyId"`
	Expiration      *wire.Timestamp `json:"expiration"`
}

// AssumeRoleForPodIdentity gives a node credentials for one of its pods, which
// has shown the token of its service account. EKS assumes the role of the
// service account's association and, if it has a target role, that one with the
// credentials of the first.
//
// https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html
func (s *Service) AssumeRoleForPodIdentity(c *authz.Call, in *AssumeRoleForPodIdentityInput) (*AssumeRoleForPodIdentityOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.ClusterName, "eks-auth:AssumeRoleForPodIdentity")
	if err != nil {
		return nil, err
	}
	pod, err := s.verify(c, k, in.Token)
	if err != nil {
		return nil, err
	}
	a := k.association(pod.Namespace, pod.ServiceAccount.Name)
	if a == nil {
		return nil, notFound("No Pod Identity association was found in the cluster %s for the service account %s in the namespace %s", k.name, wire.Clip(pod.ServiceAccount.Name), wire.Clip(pod.Namespace))
	}
	user, credentials, err := s.assume(c, a, pod)
	if err != nil {
		return nil, err
	}
	return &AssumeRoleForPodIdentityOutput{
		Subject:                Subject{a.namespace, a.serviceAccount},
		Audience:               podAudience,
		PodIdentityAssociation: AssociationName{a.arn, a.id},
		AssumedRoleUser:        AssumedRoleUser{user.Arn, user.AssumedRoleId},
		Credentials:            Credentials{credentials.SessionToken, credentials.SecretAccessKey, credentials.AccessKeyId, stamp(credentials.Expiration)},
	}, nil
}

// A boundObject is something in a cluster that a token is bound to.
type boundObject struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// podClaims is what Kubernetes says about a pod in the token of its service
// account.
//
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
type podClaims struct {
	Namespace      string      `json:"namespace"`
	Pod            boundObject `json:"pod"`
	ServiceAccount boundObject `json:"serviceaccount"`
}

const kubernetesClaim = "kubernetes.io"

func subject(namespace, serviceAccount string) string {
	return "system:serviceaccount:" + namespace + ":" + serviceAccount
}

// verify returns the pod that a token of this very cluster is of.
func (s *Service) verify(c *authz.Call, k *cluster, raw string) (*podClaims, error) {
	refuse := func(format string, args ...any) error {
		return wire.BadRequest("InvalidTokenException", format, args...)
	}
	unverified, err := oidc.Parse(raw)
	if err != nil {
		return nil, refuse("The token is not the token of a service account")
	}
	if unverified.Issuer() != k.issuer {
		return nil, refuse("The token was not issued by the cluster %s", k.name)
	}
	token, err := s.options.Issuers.Verify(unverified, c.Now)
	var expired *oidc.ExpiredError
	switch {
	case errors.As(err, &expired):
		return nil, wire.BadRequest("ExpiredTokenException", "The token has expired")
	case err != nil:
		return nil, refuse("The token cannot be verified: %v", err)
	}
	if !slices.Contains(token.Audience, podAudience) {
		return nil, refuse("The token's audience is not %s", podAudience)
	}
	var pod podClaims
	if ok, err := token.Claim(kubernetesClaim, &pod); err != nil || !ok || pod.Pod.Name == "" || token.Subject != subject(pod.Namespace, pod.ServiceAccount.Name) {
		return nil, refuse("The token is not bound to a pod")
	}
	return &pod, nil
}

// assume gets the credentials of an association's role, or of its target role.
func (s *Service) assume(c *authz.Call, a *association, pod *podClaims) (*stsapi.AssumedRoleUser, *stsapi.Credentials, error) {
	name, err := s.sessionName(a, pod)
	if err != nil {
		return nil, nil, err
	}
	in := &stsapi.AssumeRoleInput{RoleArn: &a.role, RoleSessionName: &name}
	in.DurationSeconds = seconds(podSession)
	if a.target != "" {
		in.DurationSeconds = seconds(targetSession)
	} else if a.policy != "" {
		in.Policy = &a.policy
	}
	if !a.untagged {
		in.Tags = a.sessionTags(pod)
		for _, t := range in.Tags {
			in.TransitiveTagKeys = append(in.TransitiveTagKeys, t.Key)
		}
	}
	eks := c.AsService(podPrincipal, a.cluster.arn, a.cluster.region)
	first, err := s.options.STS.AssumeRole(eks, in)
	if err != nil {
		return nil, nil, unassumable(err, "associated")
	}
	if a.target == "" {
		return &first.AssumedRoleUser, &first.Credentials, nil
	}

	// The session tags are transitive, so the second session has them too.
	credential, err := s.options.Engine.Resolve(first.Credentials.AccessKeyId, first.Credentials.SessionToken, c.Now)
	if err != nil {
		return nil, nil, err
	}
	chained := *eks
	chained.Caller, chained.SourceARN = credential.Caller, ""
	externalID := a.externalID()
	in = &stsapi.AssumeRoleInput{RoleArn: &a.target, RoleSessionName: &name, ExternalId: &externalID, DurationSeconds: seconds(targetSession)}
	if a.policy != "" {
		in.Policy = &a.policy
	}
	second, err := s.options.STS.AssumeRole(&chained, in)
	if err != nil {
		return nil, nil, unassumable(err, "target")
	}
	return &second.AssumedRoleUser, &second.Credentials, nil
}

func seconds(d time.Duration) *int {
	n := int(d / time.Second)
	return &n
}

// unassumable is the answer when a role cannot be assumed. It does not tell why:
// the node learns nothing about trust policies.
func unassumable(err error, which string) error {
	if wire.AsError(err).Code != "AccessDenied" {
		return err
	}
	e := wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "Unauthorized Exception! EKS does not have permissions to assume the %s role.", which)
	e.Cause = err
	return e
}

// sessionTags are the tags that EKS puts on sessions of pods.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
func (a *association) sessionTags(pod *podClaims) []directory.Tag {
	return []directory.Tag{
		{Key: "eks-cluster-arn", Value: a.cluster.arn},
		{Key: "eks-cluster-name", Value: a.cluster.name},
		{Key: "kubernetes-namespace", Value: a.namespace},
		{Key: "kubernetes-service-account", Value: a.serviceAccount},
		{Key: "kubernetes-pod-name", Value: pod.Pod.Name},
		{Key: "kubernetes-pod-uid", Value: pod.Pod.UID},
	}
}

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// sessionName is eks-, the names of cluster and pod as far as there is room, and
// a random id.
func (s *Service) sessionName(a *association, pod *podClaims) (string, error) {
	id, err := wire.NewUUID(s.options.Random)
	if err != nil {
		return "", err
	}
	const most = 64
	name := notInSessionName.ReplaceAllString("eks-"+a.cluster.name+"-"+pod.Pod.Name, "")
	if room := most - len(id) - 1; len(name) > room {
		name = strings.TrimRight(name[:room], "-.")
	}
	return name + "-" + id, nil
}

// Issuer returns the issuer whose URL ends with an id, and its keys as a JSON Web
// Key Set.
func (s *Service) Issuer(id string) (issuer string, keys []byte, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.clusters {
		if strings.HasSuffix(k.issuer, "/id/"+id) {
			return k.issuer, k.signer.KeySet(), true
		}
	}
	return "", nil, false
}
