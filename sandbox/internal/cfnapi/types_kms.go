package cfnapi

import (
	"github.com/crossaccount/crossaccount/sandbox/internal/kmsapi"
)

// kmsTypes returns the types of AWS::KMS.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_KMS.html
func kmsTypes(kms *kmsapi.Service) []resourceType {
	t := kmsResources{kms}
	return []resourceType{
		{
			name: "AWS::KMS::Key", tagged: true,
			properties: map[string]property{
				"BypassPolicyLockoutSafetyCheck": {kind: boolValue},
				"Description":                    {},
				"EnableKeyRotation":              {kind: boolValue},
				"Enabled":                        {kind: boolValue},
				"KeyPolicy":                      {kind: documentValue},
				"KeySpec":                        {replaces: true},
				"KeyUsage":                       {replaces: true},
				"MultiRegion":                    {kind: boolValue, replaces: true},
				"Origin":                         {replaces: true},
				"PendingWindowInDays":            {kind: numberValue},
				"RotationPeriodInDays":           {unsupported: true},
				"Tags":                           tagsProperty,
			},
			attributes: []string{"Arn", "KeyId"},
			create:     t.createKey, update: t.updateKey, delete: t.deleteKey,
		},
		{
			name: "AWS::KMS::Alias",
			properties: map[string]property{
				"AliasName":   {required: true, replaces: true},
				"TargetKeyId": {required: true},
			},
			create: t.createAlias, update: t.updateAlias, delete: t.deleteAlias,
		},
	}
}

// kmsResources does the work of the AWS::KMS types.
type kmsResources struct{ kms *kmsapi.Service }

func (t kmsResources) createKey(j *job) error {
	in := &kmsapi.CreateKeyInput{
		Policy: document(j.properties, "KeyPolicy"), Description: j.text("Description"),
		KeySpec: j.text("KeySpec"), KeyUsage: j.text("KeyUsage"), Origin: j.text("Origin"),
		MultiRegion:                    isTrue(j.properties, "MultiRegion"),
		BypassPolicyLockoutSafetyCheck: isTrue(j.properties, "BypassPolicyLockoutSafetyCheck"),
		Tags:                           kmsTags(j.tags),
	}
	out, err := t.kms.CreateKey(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.KeyMetadata.KeyID
	j.attributes["Arn"], j.attributes["KeyId"] = out.KeyMetadata.Arn, out.KeyMetadata.KeyID
	return t.setState(j)
}

func kmsTags(tags []Tag) []kmsapi.Tag {
	var list []kmsapi.Tag
	for _, tag := range tags {
		list = append(list, kmsapi.Tag{TagKey: tag.Key, TagValue: tag.Value})
	}
	return list
}

// setState brings rotation and the enabled state to the properties. A disabled
// key cannot be changed, so it is enabled first and disabled last.
func (t kmsResources) setState(j *job) error {
	key := &kmsapi.KeyInput{KeyID: j.physicalID}
	if j.changed("EnableKeyRotation") {
		change := t.kms.DisableKeyRotation
		if isTrue(j.properties, "EnableKeyRotation") {
			change = t.kms.EnableKeyRotation
		}
		if _, err := change(j.call, key); err != nil {
			return err
		}
	}
	if textOf(j.properties, "Enabled") == "false" {
		_, err := t.kms.DisableKey(j.call, key)
		return err
	}
	return nil
}

func (t kmsResources) updateKey(j *job) error {
	key := &kmsapi.KeyInput{KeyID: j.physicalID}
	if textOf(j.old, "Enabled") == "false" {
		if _, err := t.kms.EnableKey(j.call, key); err != nil {
			return err
		}
	}
	if j.changed("Description") {
		in := &kmsapi.UpdateKeyDescriptionInput{KeyID: j.physicalID, Description: j.text("Description")}
		if _, err := t.kms.UpdateKeyDescription(j.call, in); err != nil {
			return err
		}
	}
	if j.changed("KeyPolicy") && j.properties.Get("KeyPolicy") != nil {
		in := &kmsapi.PutKeyPolicyInput{
			KeyID: j.physicalID, Policy: document(j.properties, "KeyPolicy"),
			BypassPolicyLockoutSafetyCheck: isTrue(j.properties, "BypassPolicyLockoutSafetyCheck"),
		}
		if _, err := t.kms.PutKeyPolicy(j.call, in); err != nil {
			return err
		}
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.kms.UntagResource(j.call, &kmsapi.UntagResourceInput{KeyID: j.physicalID, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if _, err := t.kms.TagResource(j.call, &kmsapi.TagResourceInput{KeyID: j.physicalID, Tags: kmsTags(set)}); err != nil {
			return err
		}
	}
	return t.setState(j)
}

// deleteKey schedules the deletion, as CloudFormation does.
func (t kmsResources) deleteKey(j *job) error {
	_, err := t.kms.ScheduleKeyDeletion(j.call, &kmsapi.ScheduleKeyDeletionInput{
		KeyID: j.physicalID, PendingWindowInDays: j.number("PendingWindowInDays"),
	})
	return unlessGone(err)
}

func (t kmsResources) createAlias(j *job) error {
	name := j.text("AliasName")
	if _, err := t.kms.CreateAlias(j.call, &kmsapi.AliasInput{AliasName: name, TargetKeyID: j.text("TargetKeyId")}); err != nil {
		return err
	}
	j.physicalID = name
	return nil
}

func (t kmsResources) updateAlias(j *job) error {
	_, err := t.kms.UpdateAlias(j.call, &kmsapi.AliasInput{AliasName: j.physicalID, TargetKeyID: j.text("TargetKeyId")})
	return err
}

func (t kmsResources) deleteAlias(j *job) error {
	_, err := t.kms.DeleteAlias(j.call, &kmsapi.AliasInput{AliasName: j.physicalID})
	return unlessGone(err)
}
