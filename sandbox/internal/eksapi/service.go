// Package eksapi is the sandbox's EKS: clusters as far as IAM sees them, which is
// an issuer of service account tokens with its keys, and Pod Identity
// associations. There is no Kubernetes behind a cluster: no API server, nodes,
// add-ons or pods. Tokens of service accounts are made by [Service.Token], or over
// HTTP by [Service.RequestToken], where in AWS the kubelet asks the cluster for them.
//
// Two services share it. The one called eks makes clusters and associations;
// eks-auth is the one that the Pod Identity Agent on a node asks for credentials.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
// https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
package eksapi

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/overview"
	"github.com/crossaccount/crossaccount/sandbox/internal/restjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/stsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// Service principals.
const (
	clusterPrincipal = "eks.amazonaws.com"
	podPrincipal     = "pods.eks.amazonaws.com"
)

// A Service is the EKS of all accounts and regions of a sandbox. It is safe for
// concurrent use.
type Service struct {
	options Options

	mu       sync.RWMutex
	clusters map[string]*cluster // by ARN
}

// Options configures a [Service]. All fields are required; Random must be safe
// for concurrent use.
type Options struct {
	Directory *directory.Directory
	Engine    *authz.Engine
	STS       *stsapi.Service
	Issuers   *oidc.Issuers
	Random    io.Reader
}

// New returns a service without clusters.
func New(o Options) *Service {
	return &Service{options: o, clusters: make(map[string]*cluster)}
}

const (
	clusterPath      = "/clusters/{name}"
	associationsPath = clusterPath + "/pod-identity-associations"
	associationPath  = associationsPath + "/{associationId}"
)

var table = restjson.Table[*Service]{Service: "eks", Operations: append([]restjson.Operation[*Service]{
	restjson.Real("CreateCluster", "active at once; no Kubernetes behind it, so no endpoint; the role, subnets and tags are kept, other settings are not included", "POST /clusters", http.StatusOK, (*Service).CreateCluster),
	restjson.Real("CreatePodIdentityAssociation", "in force at once", "POST "+associationsPath, http.StatusOK, (*Service).CreatePodIdentityAssociation),
	restjson.Real("DeleteCluster", "at once, with its associations", "DELETE "+clusterPath, http.StatusOK, (*Service).DeleteCluster),
	restjson.Real("DeletePodIdentityAssociation", "", "DELETE "+associationPath, http.StatusOK, (*Service).DeletePodIdentityAssociation),
	restjson.Real("DescribeCluster", "", "GET "+clusterPath, http.StatusOK, (*Service).DescribeCluster),
	restjson.Real("DescribePodIdentityAssociation", "", "GET "+associationPath, http.StatusOK, (*Service).DescribePodIdentityAssociation),
	restjson.Real("ListClusters", "one page", "GET /clusters", http.StatusOK, (*Service).ListClusters),
	restjson.Real("ListPodIdentityAssociations", "one page", "GET "+associationsPath, http.StatusOK, (*Service).ListPodIdentityAssociations),
	restjson.Real("ListTagsForResource", "of clusters and associations", "GET /tags/{resourceArn}", http.StatusOK, (*Service).ListTagsForResource),
	restjson.Real("TagResource", "clusters and associations", "POST /tags/{resourceArn}", http.StatusOK, (*Service).TagResource),
	restjson.Real("UntagResource", "clusters and associations", "DELETE /tags/{resourceArn}", http.StatusOK, (*Service).UntagResource),
	restjson.Real("UpdatePodIdentityAssociation", "in force at once", "POST "+associationPath, http.StatusOK, (*Service).UpdatePodIdentityAssociation),
}, restjson.Missing[*Service](`AssociateAccessPolicy AssociateEncryptionConfig AssociateIdentityProviderConfig CreateAccessEntry CreateAddon CreateCapability
	CreateEksAnywhereSubscription CreateFargateProfile CreateNodegroup DeleteAccessEntry DeleteAddon DeleteCapability DeleteEksAnywhereSubscription DeleteFargateProfile
	DeleteNodegroup DeregisterCluster DescribeAccessEntry DescribeAddon DescribeAddonConfiguration DescribeAddonVersions DescribeCapability DescribeClusterVersions
	DescribeEksAnywhereSubscription DescribeFargateProfile DescribeIdentityProviderConfig DescribeInsight DescribeInsightsRefresh DescribeNodegroup DescribeUpdate
	DisassociateAccessPolicy DisassociateIdentityProviderConfig ListAccessEntries ListAccessPolicies ListAddons ListAssociatedAccessPolicies ListCapabilities
	ListEksAnywhereSubscriptions ListFargateProfiles ListIdentityProviderConfigs ListInsights ListNodegroups ListUpdates RegisterCluster StartInsightsRefresh
	UpdateAccessEntry UpdateAddon UpdateCapability UpdateClusterConfig UpdateClusterVersion UpdateEksAnywhereSubscription UpdateNodegroupConfig UpdateNodegroupVersion`)...)}

var authTable = restjson.Table[*Service]{Service: "eks-auth", Operations: []restjson.Operation[*Service]{
	restjson.Real("AssumeRoleForPodIdentity", "whoever may call it is taken for a node of the cluster", "POST /clusters/{clusterName}/assume-role-for-pod-identity", http.StatusOK, (*Service).AssumeRoleForPodIdentity),
}}

// Operations lists all operations of EKS that the sandbox knows of.
func Operations() []overview.Operation { return table.List() }

// AuthOperations lists all operations of EKS Auth.
func AuthOperations() []overview.Operation { return authTable.List() }

// ServeAPI answers one request to EKS that has been authenticated.
func (s *Service) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	if kubernetesPath.MatchString(r.URL.Path) {
		kubernetes.Serve(s, w, r, c)
		return
	}
	table.Serve(s, w, r, c)
}

// Auth is EKS Auth, which has no state of its own.
type Auth struct{ service *Service }

// Auth returns the EKS Auth of the same clusters.
func (s *Service) Auth() Auth { return Auth{s} }

// ServeAPI answers one request to EKS Auth that has been authenticated.
func (a Auth) ServeAPI(w http.ResponseWriter, r *http.Request, c *authz.Call) {
	authTable.Serve(a.service, w, r, c)
}

func invalid(format string, args ...any) *wire.Error {
	return wire.BadRequest("InvalidParameterException", format, args...)
}

func notFound(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func inUse(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusConflict, "ResourceInUseException", format, args...)
}

func (s *Service) newARN(c *authz.Call, resource string) string {
	return "arn:" + s.options.Directory.Partition(c.Account()) + ":eks:" + c.Region + ":" + string(c.Account()) + ":" + resource
}

// pass asks whether the caller may give a role of its own account to EKS.
func (s *Service) pass(c *authz.Call, roleARN, service, resourceARN string) error {
	role, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return invalid("The role ARN %s is not valid", wire.Clip(roleARN))
	}
	if role.Account != c.Account() {
		return wire.Errorf(http.StatusForbidden, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	return c.Authorize(authz.Query{Action: "iam:PassRole", Resource: roleARN, Context: func(ctx *iam.Context) {
		ctx.Set("iam:PassedToService", service)
		ctx.Set("iam:AssociatedResourceArn", resourceARN)
	}})
}

// maxTags is how many tags a cluster or association may have.
//
// https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html
const maxTags = 50

func checkTags(tags map[string]string) ([]directory.Tag, error) {
	if len(tags) > maxTags {
		return nil, wire.BadRequest("BadRequestException", "a resource has at most %d tags", maxTags)
	}
	var list []directory.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len([]rune(key)) > 128 || len([]rune(tags[key])) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, wire.BadRequest("BadRequestException", "a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: key, Value: tags[key]})
	}
	return list, nil
}

func tagMap(tags []directory.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// authorizeNew asks whether the caller may make something with these tags.
func authorizeNew(c *authz.Call, action, arn string, tags []directory.Tag) error {
	q := authz.Query{Action: "eks:" + action, Resource: arn}
	if len(tags) > 0 {
		q.RequestTags = tags
	}
	if err := c.Authorize(q); err != nil || len(tags) == 0 {
		return err
	}
	return c.Authorize(authz.Query{Action: "eks:TagResource", Resource: arn, RequestTags: tags})
}

// Overview shows the clusters and the associations.
func (s *Service) Overview() []overview.Section {
	s.mu.RLock()
	defer s.mu.RUnlock()
	clusters := overview.Section{Title: "EKS clusters", Columns: []string{"Cluster", "Issuer"}}
	associations := overview.Section{Title: "Pod Identity associations", Columns: []string{"Cluster", "Namespace", "Service account", "Role", "Target role"}}
	for _, arn := range slices.Sorted(maps.Keys(s.clusters)) {
		c := s.clusters[arn]
		clusters.Rows = append(clusters.Rows, []string{c.arn, c.issuer})
		for _, a := range c.associations {
			associations.Rows = append(associations.Rows, []string{c.arn, a.namespace, a.serviceAccount, a.role, a.target})
		}
	}
	return []overview.Section{clusters, associations}
}

// stamp writes a time, in whole seconds.
func stamp(t time.Time) *wire.Timestamp { return wire.At(t.Truncate(time.Second)) }
