package cfnapi

import (
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/eksapi"
)

// eksTypes returns the types of AWS::EKS.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_EKS.html
func eksTypes(eks *eksapi.Service) []resourceType {
	t := eksResources{eks}
	cluster := map[string]property{
		"Name": {replaces: true}, "RoleArn": {required: true, replaces: true}, "Tags": tagsProperty, "Version": {replaces: true},
		"ResourcesVpcConfig": {kind: objectValue, required: true, replaces: true, fields: map[string]property{
			"EndpointPrivateAccess": {kind: boolValue, unsupported: true}, "EndpointPublicAccess": {kind: boolValue, unsupported: true}, "PublicAccessCidrs": {kind: textList, unsupported: true},
			"SecurityGroupIds": {kind: textList}, "SubnetIds": {kind: textList, required: true},
		}},
	}
	for name := range setOf(`AccessConfig BootstrapSelfManagedAddons ComputeConfig ControlPlaneScalingConfig DeletionProtection EncryptionConfig Force KubernetesNetworkConfig
		Logging OutpostConfig RemoteNetworkConfig StorageConfig UpgradePolicy ZonalShiftConfig`) {
		cluster[name] = property{unsupported: true}
	}
	association := map[string]property{
		"DisableSessionTags": {kind: boolValue}, "Policy": {}, "RoleArn": {required: true}, "Tags": tagsProperty, "TargetRoleArn": {},
	}
	for name := range setOf("ClusterName Namespace ServiceAccount") {
		association[name] = property{required: true, replaces: true}
	}
	return []resourceType{
		{
			name: "AWS::EKS::Cluster", tagged: true,
			properties: cluster,
			attributes: []string{"Arn", "OpenIdConnectIssuerUrl"},
			create:     t.createCluster, update: t.updateCluster, delete: t.deleteCluster,
		},
		{
			name: "AWS::EKS::PodIdentityAssociation", tagged: true,
			properties: association,
			attributes: []string{"AssociationArn", "AssociationId", "ExternalId"},
			create:     t.createAssociation, update: t.updateAssociation, delete: t.deleteAssociation,
		},
	}
}

// eksResources does the work of the AWS::EKS types.
type eksResources struct{ eks *eksapi.Service }

func (t eksResources) createCluster(j *job) error {
	network := j.properties.Get("ResourcesVpcConfig")
	out, err := t.eks.CreateCluster(j.call, &eksapi.CreateClusterInput{
		Name: j.nameOrNew("Name", 100), Version: j.text("Version"), RoleARN: j.text("RoleArn"), Tags: tagMap(j.tags),
		ResourcesVPCConfig: &eksapi.VPCConfig{SubnetIDs: list(network, "SubnetIds"), SecurityGroupIDs: list(network, "SecurityGroupIds")},
	})
	if err != nil {
		return err
	}
	j.physicalID = out.Cluster.Name
	t.describeCluster(j, out)
	return nil
}

func (t eksResources) describeCluster(j *job, out *eksapi.ClusterOutput) {
	j.attributes["Arn"], j.attributes["OpenIdConnectIssuerUrl"] = out.Cluster.ARN, out.Cluster.Identity.OIDC.Issuer
}

func (t eksResources) updateCluster(j *job) error {
	out, err := t.eks.DescribeCluster(j.call, &eksapi.ClusterInput{Name: j.physicalID})
	if err != nil {
		return err
	}
	t.describeCluster(j, out)
	return t.retag(j, out.Cluster.ARN)
}

func (t eksResources) retag(j *job, arn string) error {
	set, remove := diffTags(j.oldTags, j.tags)
	named := eksapi.TaggedInput{ResourceARN: arn}
	if len(remove) > 0 {
		if _, err := t.eks.UntagResource(j.call, &eksapi.UntagResourceInput{TaggedInput: named, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	_, err := t.eks.TagResource(j.call, &eksapi.TagResourceInput{TaggedInput: named, Tags: tagMap(set)})
	return err
}

func (t eksResources) deleteCluster(j *job) error {
	_, err := t.eks.DeleteCluster(j.call, &eksapi.ClusterInput{Name: j.physicalID})
	return unlessGone(err)
}

func (t eksResources) createAssociation(j *job) error {
	out, err := t.eks.CreatePodIdentityAssociation(j.call, &eksapi.CreatePodIdentityAssociationInput{
		ClusterInput: eksapi.ClusterInput{Name: j.text("ClusterName")}, Namespace: j.text("Namespace"), ServiceAccount: j.text("ServiceAccount"),
		RoleARN: j.text("RoleArn"), TargetRoleARN: j.text("TargetRoleArn"), DisableSessionTags: isTrue(j.properties, "DisableSessionTags"),
		Policy: j.text("Policy"), Tags: tagMap(j.tags),
	})
	if err != nil {
		return err
	}
	t.describeAssociation(j, out)
	return nil
}

// describeAssociation sets the attributes. The physical id is the ARN, which
// names cluster and association.
func (t eksResources) describeAssociation(j *job, out *eksapi.AssociationOutput) {
	j.physicalID = out.Association.AssociationARN
	j.attributes["AssociationArn"], j.attributes["AssociationId"] = out.Association.AssociationARN, out.Association.AssociationID
	j.attributes["ExternalId"] = out.Association.ExternalID
}

func (t eksResources) named(j *job) eksapi.AssociationInput {
	id := j.physicalID[strings.LastIndexByte(j.physicalID, '/')+1:]
	return eksapi.AssociationInput{ClusterInput: eksapi.ClusterInput{Name: j.text("ClusterName")}, AssociationID: id}
}

func (t eksResources) updateAssociation(j *job) error {
	role, target, policy, untagged := j.text("RoleArn"), j.text("TargetRoleArn"), j.text("Policy"), isTrue(j.properties, "DisableSessionTags")
	out, err := t.eks.UpdatePodIdentityAssociation(j.call, &eksapi.UpdatePodIdentityAssociationInput{
		AssociationInput: t.named(j), RoleARN: &role, TargetRoleARN: &target, Policy: &policy, DisableSessionTags: &untagged,
	})
	if err != nil {
		return err
	}
	t.describeAssociation(j, out)
	return t.retag(j, out.Association.AssociationARN)
}

func (t eksResources) deleteAssociation(j *job) error {
	in := t.named(j)
	_, err := t.eks.DeletePodIdentityAssociation(j.call, &in)
	return unlessGone(err)
}
