package eksapi

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An association says which role the pods of a service account get.
type association struct {
	cluster        *cluster
	id, arn        string
	namespace      string
	serviceAccount string
	role           string
	target         string // role that EKS assumes with the first one; "" for none
	untagged       bool   // no session tags
	policy         string // session policy; "" for none
	created        time.Time
	modified       time.Time
	tags           []directory.Tag
}

// externalID is what EKS sends when it assumes a target role.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (a *association) externalID() string {
	k := a.cluster
	return strings.Join([]string{k.region, string(k.account), k.name, a.namespace, a.serviceAccount}, "/")
}

// AssociationOutput shows an association.
type AssociationOutput struct {
	Association Association `json:"association"`
}

// Association describes a Pod Identity association.
type Association struct {
	ClusterName        string            `json:"clusterName"`
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleARN            string            `json:"roleArn"`
	AssociationARN     string            `json:"associationArn"`
	AssociationID      string            `json:"associationId"`
	Tags               map[string]string `json:"tags"`
	CreatedAt          *wire.Timestamp   `json:"createdAt"`
	ModifiedAt         *wire.Timestamp   `json:"modifiedAt"`
	DisableSessionTags bool              `json:"disableSessionTags"`
	TargetRoleARN      string            `json:"targetRoleArn,omitempty"`
	ExternalID         string            `json:"externalId,omitempty"` // of associations with a target role
	Policy             string            `json:"policy,omitempty"`
}

func (a *association) shown() *AssociationOutput {
	out := &AssociationOutput{Association{
		ClusterName: a.cluster.name, Namespace: a.namespace, ServiceAccount: a.serviceAccount, RoleARN: a.role, AssociationARN: a.arn, AssociationID: a.id,
		Tags: tagMap(a.tags), CreatedAt: stamp(a.created), ModifiedAt: stamp(a.modified), DisableSessionTags: a.untagged, TargetRoleARN: a.target, Policy: a.policy,
	}}
	if a.target != "" {
		out.Association.ExternalID = a.externalID()
	}
	return out
}

// CreatePodIdentityAssociationInput is the input of
// CreatePodIdentityAssociation.
type CreatePodIdentityAssociationInput struct {
	ClusterInput
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleARN            string            `json:"roleArn"`
	ClientRequestToken string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`
	DisableSessionTags bool              `json:"disableSessionTags"`
	TargetRoleARN      string            `json:"targetRoleArn"`
	Policy             string            `json:"policy"`
}

// Names of Kubernetes.
//
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
var (
	labelPattern     = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	subdomainPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`)
)

// CreatePodIdentityAssociation gives the pods of a service account a role of the
// cluster's account, or with it a target role of any account. The caller must be
// allowed to pass the role, and the role must trust EKS's Pod Identity.
//
// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html
func (s *Service) CreatePodIdentityAssociation(c *authz.Call, in *CreatePodIdentityAssociationInput) (*AssociationOutput, error) {
	tags, err := checkTags(in.Tags)
	switch {
	case err != nil:
		return nil, err
	case !labelPattern.MatchString(in.Namespace):
		return nil, invalid("The namespace %q is not the name of a Kubernetes namespace", wire.Clip(in.Namespace))
	case !subdomainPattern.MatchString(in.ServiceAccount):
		return nil, invalid("The service account %q is not the name of a Kubernetes service account", wire.Clip(in.ServiceAccount))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := authz.Query{Action: "eks:CreatePodIdentityAssociation", Resource: s.newARN(c, "cluster/"+in.Name)}
	k := s.clusters[q.Resource]
	if k != nil {
		q.ResourceTags = k.tags
	}
	if len(tags) > 0 {
		q.RequestTags = tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if k == nil {
		return nil, notFound("No cluster found for name: %s.", wire.Clip(in.Name))
	}
	a := &association{
		cluster: k, namespace: in.Namespace, serviceAccount: in.ServiceAccount, role: in.RoleARN, target: in.TargetRoleARN,
		untagged: in.DisableSessionTags, policy: in.Policy, created: c.Now, modified: c.Now, tags: tags,
	}
	if a.id, err = s.newID(); err != nil {
		return nil, err
	}
	a.arn = s.newARN(c, "podidentityassociation/"+k.name+"/"+a.id)
	if len(tags) > 0 {
		if err := c.Authorize(authz.Query{Action: "eks:TagResource", Resource: a.arn, RequestTags: tags}); err != nil {
			return nil, err
		}
	}
	if err := s.check(c, a); err != nil {
		return nil, err
	}
	if other := k.association(a.namespace, a.serviceAccount); other != nil {
		return nil, inUse("Association already exists: %s", other.id)
	}
	k.associations = append(k.associations, a)
	return a.shown(), nil
}

// check asks whether the caller may give these roles, and whether they fit.
func (s *Service) check(c *authz.Call, a *association) error {
	if err := s.pass(c, a.role, podPrincipal, a.cluster.arn); err != nil {
		return err
	}
	view := s.options.Directory.Effective(c.Now)
	parsed, err := iam.ParseRoleARN(a.role)
	if err != nil {
		return err // pass has refused it
	}
	role, ok := view.Role(parsed.Account, parsed.Name)
	if !ok || role.ARN() != a.role {
		e := invalid("Role provided in the request does not exist.")
		e.Cause = &directory.InvalidPrincipalError{Type: "AWS", Value: a.role} // it may be too new: stacks try again
		return e
	}
	actions := []string{"sts:AssumeRole"}
	if !a.untagged {
		actions = append(actions, "sts:TagSession")
	}
	eks := c.AsService(podPrincipal, a.cluster.arn, a.cluster.region)
	for _, action := range actions {
		if !eks.Conceivable(authz.Query{Action: action, Resource: a.role, ResourcePolicy: role.Trust.Compiled}) {
			return invalid("Trust policy of the role provided is invalid. Follow the official documentation to resolve the issue.")
		}
	}
	if a.target != "" {
		if _, err := iam.ParseRoleARN(a.target); err != nil {
			return invalid("The target role ARN %s is not valid", wire.Clip(a.target))
		}
	}
	if a.policy == "" {
		return nil
	}
	if !a.untagged {
		return invalid("disableSessionTags must be true for an association with a policy")
	}
	if len(a.policy) > maxSessionPolicy {
		return invalid("The policy must have at most %d characters", maxSessionPolicy)
	}
	if _, err := directory.NewDocument(a.policy, iam.KindSession, "session policy"); err != nil {
		return invalid("The policy is not valid: %s", wire.AsError(err).Message)
	}
	return nil
}

// maxSessionPolicy is the most that STS takes.
const maxSessionPolicy = 2048

// newID returns the id of an association: a- and 17 letters and digits.
func (s *Service) newID() (string, error) {
	const characters = "abcdefghijklmnopqrstuvwxyz012345" // 32, so that every byte gives one
	var b [17]byte
	if _, err := io.ReadFull(s.options.Random, b[:]); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = characters[b[i]%32]
	}
	return "a-" + string(b[:]), nil
}

// association returns the association of a service account, nil if it has none.
func (k *cluster) association(namespace, serviceAccount string) *association {
	for _, a := range k.associations {
		if a.namespace == namespace && a.serviceAccount == serviceAccount {
			return a
		}
	}
	return nil
}

// AssociationInput names an association.
type AssociationInput struct {
	ClusterInput
	AssociationID string `json:"-" path:"associationId"`
}

// DescribePodIdentityAssociation describes an association.
func (s *Service) DescribePodIdentityAssociation(c *authz.Call, in *AssociationInput) (*AssociationOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.findAssociation(c, in, "DescribePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	return a.shown(), nil
}

// findAssociation returns an association after authorising the action on it. The
// caller holds the lock.
func (s *Service) findAssociation(c *authz.Call, in *AssociationInput, action string) (*association, error) {
	k := s.clusters[s.newARN(c, "cluster/"+in.Name)]
	q := authz.Query{Action: "eks:" + action, Resource: s.newARN(c, "podidentityassociation/"+in.Name+"/"+in.AssociationID)}
	var found *association
	if k != nil {
		for _, a := range k.associations {
			if a.id == in.AssociationID {
				found, q.ResourceTags = a, a.tags
			}
		}
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	switch {
	case k == nil:
		return nil, notFound("No cluster found for name: %s.", wire.Clip(in.Name))
	case found == nil:
		return nil, notFound("No association found for id: %s", wire.Clip(in.AssociationID))
	}
	return found, nil
}

// ListPodIdentityAssociationsInput is the input of ListPodIdentityAssociations.
type ListPodIdentityAssociationsInput struct {
	ClusterInput
	Namespace      string `json:"-" query:"namespace"`
	ServiceAccount string `json:"-" query:"serviceAccount"`
	NextToken      string `json:"-" query:"nextToken"`
}

// ListPodIdentityAssociationsOutput has the associations of a cluster.
type ListPodIdentityAssociationsOutput struct {
	Associations []AssociationSummary `json:"associations"`
}

// AssociationSummary is what lists show of an association.
type AssociationSummary struct {
	ClusterName    string `json:"clusterName"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	AssociationARN string `json:"associationArn"`
	AssociationID  string `json:"associationId"`
}

// ListPodIdentityAssociations lists the associations of a cluster, oldest first,
// all or those of a namespace or service account.
func (s *Service) ListPodIdentityAssociations(c *authz.Call, in *ListPodIdentityAssociationsInput) (*ListPodIdentityAssociationsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.Name, "eks:ListPodIdentityAssociations")
	if err != nil {
		return nil, err
	}
	if in.NextToken != "" {
		return nil, invalid("nextToken: there are no further pages")
	}
	out := &ListPodIdentityAssociationsOutput{Associations: []AssociationSummary{}}
	for _, a := range k.associations {
		if (in.Namespace == "" || in.Namespace == a.namespace) && (in.ServiceAccount == "" || in.ServiceAccount == a.serviceAccount) {
			out.Associations = append(out.Associations, AssociationSummary{k.name, a.namespace, a.serviceAccount, a.arn, a.id})
		}
	}
	return out, nil
}

// UpdatePodIdentityAssociationInput is the input of
// UpdatePodIdentityAssociation. What is nil stays.
type UpdatePodIdentityAssociationInput struct {
	AssociationInput
	RoleARN            *string `json:"roleArn"`
	TargetRoleARN      *string `json:"targetRoleArn"`
	DisableSessionTags *bool   `json:"disableSessionTags"`
	Policy             *string `json:"policy"`
	ClientRequestToken string  `json:"clientRequestToken"`
}

// UpdatePodIdentityAssociation changes the roles, session tags or policy of an
// association. Credentials that were handed out stay what they are.
//
// https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdatePodIdentityAssociation.html
func (s *Service) UpdatePodIdentityAssociation(c *authz.Call, in *UpdatePodIdentityAssociationInput) (*AssociationOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.findAssociation(c, &in.AssociationInput, "UpdatePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	if in.RoleARN == nil && in.TargetRoleARN == nil && in.DisableSessionTags == nil && in.Policy == nil {
		return nil, invalid("at least one of roleArn, targetRoleArn, disableSessionTags and policy must be given")
	}
	next := *a
	for to, from := range map[*string]*string{&next.role: in.RoleARN, &next.target: in.TargetRoleARN, &next.policy: in.Policy} {
		if from != nil {
			*to = *from
		}
	}
	if in.DisableSessionTags != nil {
		next.untagged = *in.DisableSessionTags
	}
	next.modified = c.Now
	if err := s.check(c, &next); err != nil {
		return nil, err
	}
	*a = next
	return a.shown(), nil
}

// DeletePodIdentityAssociation deletes an association.
func (s *Service) DeletePodIdentityAssociation(c *authz.Call, in *AssociationInput) (*AssociationOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.findAssociation(c, in, "DeletePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	a.cluster.associations = slices.DeleteFunc(a.cluster.associations, func(other *association) bool { return other == a })
	return a.shown(), nil
}
