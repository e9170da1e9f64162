package eksapi

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/oidc"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A cluster is what IAM sees of one. Its signer never changes; a cluster made
// anew under the same name has another issuer.
type cluster struct {
	account iam.AccountID
	region  string
	name    string
	arn     string
	version string
	role    string
	network VPCConfig
	created time.Time
	tags    []directory.Tag
	issuer  string
	signer  *oidc.Signer

	associations []*association // oldest first
}

// defaultVersion is the Kubernetes version of a cluster that asks for none. The
// sandbox has no Kubernetes; clients want to see one.
const defaultVersion = "1.34"

// VPCConfig is where a cluster is, as far as it is kept.
type VPCConfig struct {
	SubnetIDs        []string `json:"subnetIds"`
	SecurityGroupIDs []string `json:"securityGroupIds,omitempty"`
}

// CreateClusterInput is the input of CreateCluster.
type CreateClusterInput struct {
	Name               string            `json:"name"`
	Version            string            `json:"version"`
	RoleARN            string            `json:"roleArn"`
	ResourcesVPCConfig *VPCConfig        `json:"resourcesVpcConfig"`
	ClientRequestToken string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`

	KubernetesNetworkConfig    json.RawMessage `json:"kubernetesNetworkConfig"`
	Logging                    json.RawMessage `json:"logging"`
	EncryptionConfig           json.RawMessage `json:"encryptionConfig"`
	OutpostConfig              json.RawMessage `json:"outpostConfig"`
	AccessConfig               json.RawMessage `json:"accessConfig"`
	BootstrapSelfManagedAddons json.RawMessage `json:"bootstrapSelfManagedAddons"`
	UpgradePolicy              json.RawMessage `json:"upgradePolicy"`
	ZonalShiftConfig           json.RawMessage `json:"zonalShiftConfig"`
	RemoteNetworkConfig        json.RawMessage `json:"remoteNetworkConfig"`
	ComputeConfig              json.RawMessage `json:"computeConfig"`
	StorageConfig              json.RawMessage `json:"storageConfig"`
	DeletionProtection         json.RawMessage `json:"deletionProtection"`
	ControlPlaneScalingConfig  json.RawMessage `json:"controlPlaneScalingConfig"`
}

// unsupported returns the name of a setting that the sandbox has not.
func (in *CreateClusterInput) unsupported() string {
	for name, value := range map[string]json.RawMessage{
		"kubernetesNetworkConfig": in.KubernetesNetworkConfig, "logging": in.Logging, "encryptionConfig": in.EncryptionConfig, "outpostConfig": in.OutpostConfig,
		"accessConfig": in.AccessConfig, "bootstrapSelfManagedAddons": in.BootstrapSelfManagedAddons, "upgradePolicy": in.UpgradePolicy,
		"zonalShiftConfig": in.ZonalShiftConfig, "remoteNetworkConfig": in.RemoteNetworkConfig, "computeConfig": in.ComputeConfig,
		"storageConfig": in.StorageConfig, "deletionProtection": in.DeletionProtection, "controlPlaneScalingConfig": in.ControlPlaneScalingConfig,
	} {
		if len(value) > 0 && string(value) != "null" {
			return name
		}
	}
	return ""
}

// ClusterOutput shows a cluster.
type ClusterOutput struct {
	Cluster Cluster `json:"cluster"`
}

// Cluster describes a cluster. It has no endpoint and no certificate authority:
// there is no API server.
type Cluster struct {
	Name               string            `json:"name"`
	ARN                string            `json:"arn"`
	CreatedAt          *wire.Timestamp   `json:"createdAt"`
	Version            string            `json:"version"`
	RoleARN            string            `json:"roleArn"`
	ResourcesVPCConfig VPCConfig         `json:"resourcesVpcConfig"`
	Identity           Identity          `json:"identity"`
	Status             string            `json:"status"` // always ACTIVE
	Tags               map[string]string `json:"tags"`
}

// Identity says who issues the tokens of the cluster's service accounts.
type Identity struct {
	OIDC struct {
		Issuer string `json:"issuer"`
	} `json:"oidc"`
}

func (k *cluster) shown() *ClusterOutput {
	out := &ClusterOutput{Cluster{
		Name: k.name, ARN: k.arn, CreatedAt: stamp(k.created), Version: k.version, RoleARN: k.role, ResourcesVPCConfig: k.network, Status: "ACTIVE", Tags: tagMap(k.tags),
	}}
	out.Cluster.Identity.OIDC.Issuer = k.issuer
	return out
}

var (
	clusterPattern = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)
	versionPattern = regexp.MustCompile(`^1\.[0-9]{2}$`)
)

// CreateCluster makes a cluster: an issuer of service account tokens with a key
// of its own.
//
// https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
func (s *Service) CreateCluster(c *authz.Call, in *CreateClusterInput) (*ClusterOutput, error) {
	if name := in.unsupported(); name != "" {
		return nil, wire.NotImplemented("eks", "CreateCluster with "+name)
	}
	tags, err := checkTags(in.Tags)
	switch {
	case err != nil:
		return nil, err
	case !clusterPattern.MatchString(in.Name):
		return nil, invalid("The cluster name %q must begin with a letter or digit and have at most 100 letters, digits, hyphens and underscores", wire.Clip(in.Name))
	case in.Version != "" && !versionPattern.MatchString(in.Version):
		return nil, invalid("unsupported Kubernetes version %q", wire.Clip(in.Version))
	case in.ResourcesVPCConfig == nil || len(in.ResourcesVPCConfig.SubnetIDs) < 2:
		return nil, invalid("Subnets specified must be in at least two different AZs")
	}
	k := &cluster{
		account: c.Account(), region: c.Region, name: in.Name, arn: s.newARN(c, "cluster/"+in.Name), version: in.Version, role: in.RoleARN,
		network: *in.ResourcesVPCConfig, created: c.Now, tags: tags, signer: &oidc.Signer{},
	}
	if k.version == "" {
		k.version = defaultVersion
	}
	if err := authorizeNew(c, "CreateCluster", k.arn, tags); err != nil {
		return nil, err
	}
	if err := s.pass(c, in.RoleARN, clusterPrincipal, k.arn); err != nil {
		return nil, err
	}
	if _, err := c.AsServiceRole(in.RoleARN, clusterPrincipal, "eks"); err != nil {
		e := invalid("Role with arn: %s, could not be assumed because it does not exist or the trusted entity is not correct", in.RoleARN)
		e.Cause = err
		return nil, e
	}
	if k.issuer, err = s.newIssuer(c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters[k.arn] != nil {
		return nil, inUse("Cluster already exists with name: %s", in.Name)
	}
	s.clusters[k.arn] = k
	s.options.Issuers.Play(k.issuer, k.signer)
	return k.shown(), nil
}

// newIssuer makes up the URL of a cluster's issuer.
func (s *Service) newIssuer(c *authz.Call) (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.options.Random, id[:]); err != nil {
		return "", err
	}
	suffix := "amazonaws.com"
	if p, ok := iam.LookupPartition(s.options.Directory.Partition(c.Account())); ok {
		suffix = p.DNSSuffix
	}
	return "https://oidc.eks." + c.Region + "." + suffix + "/id/" + strings.ToUpper(hex.EncodeToString(id[:])), nil
}

// ClusterInput names a cluster.
type ClusterInput struct {
	Name string `json:"-" path:"name"`
}

// DescribeCluster describes a cluster.
func (s *Service) DescribeCluster(c *authz.Call, in *ClusterInput) (*ClusterOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, err := s.find(c, in.Name, "eks:DescribeCluster")
	if err != nil {
		return nil, err
	}
	return k.shown(), nil
}

// find returns a cluster of the caller's account and region after authorising
// the action on it. One that does not exist is reported only to those who might
// have seen it. The caller holds the lock.
func (s *Service) find(c *authz.Call, name, action string) (*cluster, error) {
	arn := s.newARN(c, "cluster/"+name)
	k := s.clusters[arn]
	q := authz.Query{Action: action, Resource: arn}
	if k != nil {
		q.ResourceTags = k.tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if k == nil {
		return nil, notFound("No cluster found for name: %s.", wire.Clip(name))
	}
	return k, nil
}

// ListClustersInput is the input of ListClusters.
type ListClustersInput struct {
	NextToken string `json:"-" query:"nextToken"`
}

// ListClustersOutput has the names of clusters, sorted.
type ListClustersOutput struct {
	Clusters []string `json:"clusters"`
}

// ListClusters lists the clusters of the caller's account and region.
func (s *Service) ListClusters(c *authz.Call, in *ListClustersInput) (*ListClustersOutput, error) {
	if err := c.Authorize(authz.Query{Action: "eks:ListClusters", Resource: "*"}); err != nil {
		return nil, err
	}
	if in.NextToken != "" {
		return nil, invalid("nextToken: there are no further pages")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &ListClustersOutput{Clusters: []string{}}
	for _, arn := range slices.Sorted(maps.Keys(s.clusters)) {
		if k := s.clusters[arn]; k.account == c.Account() && k.region == c.Region {
			out.Clusters = append(out.Clusters, k.name)
		}
	}
	return out, nil
}

// DeleteCluster deletes a cluster with its associations. Nobody signs tokens of
// its issuer any more, and those that were signed cannot be verified.
func (s *Service) DeleteCluster(c *authz.Call, in *ClusterInput) (*ClusterOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.find(c, in.Name, "eks:DeleteCluster")
	if err != nil {
		return nil, err
	}
	delete(s.clusters, k.arn)
	s.options.Issuers.Forget(k.issuer)
	out := k.shown()
	out.Cluster.Status = "DELETING"
	return out, nil
}
