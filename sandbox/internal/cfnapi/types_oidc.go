package cfnapi

import (
	"github.com/crossaccount/crossaccount/sandbox/internal/iamapi"
)

// oidcTypes returns AWS::IAM::OIDCProvider, which needs no capability.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-iam-oidcprovider.html
func oidcTypes(iam *iamapi.Service) []resourceType {
	t := providerResources{iam}
	return []resourceType{{
		name: "AWS::IAM::OIDCProvider", tagged: true,
		properties: map[string]property{
			"ClientIdList": {kind: textList}, "Tags": tagsProperty, "ThumbprintList": {kind: textList}, "Url": {replaces: true},
		},
		attributes: []string{"Arn"},
		create:     t.create, update: t.update, delete: t.delete,
	}}
}

// providerResources does the work of AWS::IAM::OIDCProvider.
type providerResources struct{ iam *iamapi.Service }

func (t providerResources) create(j *job) error {
	out, err := t.iam.CreateOpenIDConnectProvider(j.call, &iamapi.CreateOpenIDConnectProviderInput{
		Url: j.text("Url"), ClientIDList: list(j.properties, "ClientIdList"), ThumbprintList: list(j.properties, "ThumbprintList"), Tags: j.tags,
	})
	if err != nil {
		return err
	}
	j.physicalID, j.attributes["Arn"] = out.OpenIDConnectProviderArn, out.OpenIDConnectProviderArn
	return nil
}

func (t providerResources) update(j *job) error {
	j.attributes["Arn"] = j.physicalID
	had, wanted := list(j.old, "ClientIdList"), list(j.properties, "ClientIdList")
	for _, id := range without(wanted, had) {
		if err := t.iam.AddClientIDToOpenIDConnectProvider(j.call, &iamapi.ClientIDInput{OpenIDConnectProviderArn: j.physicalID, ClientID: id}); err != nil {
			return err
		}
	}
	for _, id := range without(had, wanted) {
		if err := t.iam.RemoveClientIDFromOpenIDConnectProvider(j.call, &iamapi.ClientIDInput{OpenIDConnectProviderArn: j.physicalID, ClientID: id}); err != nil {
			return err
		}
	}
	if j.changed("ThumbprintList") {
		thumbprints := append([]string{}, list(j.properties, "ThumbprintList")...) // not nil, which would be missing
		if err := t.iam.UpdateOpenIDConnectProviderThumbprint(j.call, &iamapi.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: j.physicalID, ThumbprintList: thumbprints}); err != nil {
			return err
		}
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if err := t.iam.UntagOpenIDConnectProvider(j.call, &iamapi.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: j.physicalID, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		return t.iam.TagOpenIDConnectProvider(j.call, &iamapi.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: j.physicalID, Tags: set})
	}
	return nil
}

func (t providerResources) delete(j *job) error {
	return unlessGone(t.iam.DeleteOpenIDConnectProvider(j.call, &iamapi.ProviderInput{OpenIDConnectProviderArn: j.physicalID}))
}
