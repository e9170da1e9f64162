package cfnapi

import (
	"encoding/json"

	"github.com/crossaccount/crossaccount/sandbox/internal/secretsapi"
	"github.com/crossaccount/crossaccount/sandbox/internal/ssmapi"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// secretsTypes returns the types of AWS::SecretsManager.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_SecretsManager.html
func secretsTypes(secrets *secretsapi.Service) []resourceType {
	t := secretResources{secrets}
	return []resourceType{
		{
			name: "AWS::SecretsManager::Secret", tagged: true,
			properties: map[string]property{
				"Description": {},
				"GenerateSecretString": {kind: objectValue, fields: map[string]property{
					"ExcludeCharacters": {}, "ExcludeLowercase": {kind: boolValue}, "ExcludeNumbers": {kind: boolValue},
					"ExcludePunctuation": {kind: boolValue}, "ExcludeUppercase": {kind: boolValue}, "GenerateStringKey": {},
					"IncludeSpace": {kind: boolValue}, "PasswordLength": {kind: numberValue},
					"RequireEachIncludedType": {kind: boolValue}, "SecretStringTemplate": {},
				}},
				"KmsKeyId":       {},
				"Name":           {replaces: true},
				"ReplicaRegions": {unsupported: true},
				"SecretString":   {},
				"Type":           {unsupported: true},
				"Tags":           tagsProperty,
			},
			attributes: []string{"Id"},
			create:     t.createSecret, update: t.updateSecret, delete: t.deleteSecret,
		},
		{
			name: "AWS::SecretsManager::ResourcePolicy",
			properties: map[string]property{
				"BlockPublicPolicy": {kind: boolValue},
				"ResourcePolicy":    {kind: documentValue, required: true},
				"SecretId":          {required: true, replaces: true},
			},
			attributes: []string{"Id"},
			create:     t.putPolicy, update: t.putPolicy, delete: t.deletePolicy,
		},
	}
}

// secretResources does the work of the AWS::SecretsManager types.
type secretResources struct{ secrets *secretsapi.Service }

func (t secretResources) createSecret(j *job) error {
	value, err := t.value(j)
	if err != nil {
		return err
	}
	in := &secretsapi.CreateSecretInput{
		Name: j.nameOrNew("Name", 512), Description: j.text("Description"), KmsKeyID: j.text("KmsKeyId"), SecretString: value,
	}
	for _, tag := range j.tags {
		in.Tags = append(in.Tags, secretsapi.Tag(tag))
	}
	out, err := t.secrets.CreateSecret(j.call, in)
	if err != nil {
		return err
	}
	j.physicalID = out.ARN
	j.attributes["Id"] = out.ARN
	return nil
}

// value returns the secret's value, given or generated; nil if neither.
func (t secretResources) value(j *job) (*string, error) {
	generate := j.properties.Get("GenerateSecretString")
	given := j.properties.Get("SecretString")
	switch {
	case given != nil && generate != nil:
		return nil, invalid("You can't specify both SecretString and GenerateSecretString")
	case given != nil:
		return &given.Text, nil
	case generate == nil:
		return nil, nil
	}
	password, err := t.secrets.Password(passwordInput(generate))
	if err != nil {
		return nil, err
	}
	key, template := textOf(generate, "GenerateStringKey"), textOf(generate, "SecretStringTemplate")
	if key == "" && template == "" {
		return &password, nil
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(template), &members); err != nil || key == "" {
		return nil, invalid("GenerateStringKey and SecretStringTemplate, a JSON object, belong together")
	}
	members[key] = password
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	value := string(text)
	return &value, nil
}

func passwordInput(n *cfn.Node) *secretsapi.PasswordInput {
	in := &secretsapi.PasswordInput{
		ExcludeCharacters: textOf(n, "ExcludeCharacters"),
		ExcludeLowercase:  isTrue(n, "ExcludeLowercase"), ExcludeUppercase: isTrue(n, "ExcludeUppercase"),
		ExcludeNumbers: isTrue(n, "ExcludeNumbers"), ExcludePunctuation: isTrue(n, "ExcludePunctuation"),
		IncludeSpace: isTrue(n, "IncludeSpace"),
	}
	if n.Get("RequireEachIncludedType") != nil {
		each := isTrue(n, "RequireEachIncludedType")
		in.RequireEachIncludedType = &each
	}
	length := &job{properties: n}
	in.PasswordLength = length.number("PasswordLength")
	return in
}

func (t secretResources) updateSecret(j *job) error {
	in := &secretsapi.UpdateSecretInput{SecretID: j.physicalID}
	if j.changed("Description") {
		description := j.text("Description")
		in.Description = &description
	}
	if j.changed("KmsKeyId") {
		key := j.text("KmsKeyId")
		in.KmsKeyID = &key
	}
	if j.changed("SecretString") || j.changed("GenerateSecretString") {
		value, err := t.value(j)
		if err != nil {
			return err
		}
		in.SecretString = value
	}
	if _, err := t.secrets.UpdateSecret(j.call, in); err != nil {
		return err
	}
	set, remove := diffTags(j.oldTags, j.tags)
	if len(remove) > 0 {
		if _, err := t.secrets.UntagResource(j.call, &secretsapi.UntagResourceInput{SecretID: j.physicalID, TagKeys: remove}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	tag := &secretsapi.TagResourceInput{SecretID: j.physicalID}
	for _, t := range set {
		tag.Tags = append(tag.Tags, secretsapi.Tag(t))
	}
	_, err := t.secrets.TagResource(j.call, tag)
	return err
}

// deleteSecret deletes at once, as CloudFormation does.
func (t secretResources) deleteSecret(j *job) error {
	_, err := t.secrets.DeleteSecret(j.call, &secretsapi.DeleteSecretInput{SecretID: j.physicalID, ForceDeleteWithoutRecovery: true})
	return unlessGone(err)
}

func (t secretResources) putPolicy(j *job) error {
	out, err := t.secrets.PutResourcePolicy(j.call, &secretsapi.PutResourcePolicyInput{
		SecretID: j.text("SecretId"), ResourcePolicy: document(j.properties, "ResourcePolicy"),
		BlockPublicPolicy: isTrue(j.properties, "BlockPublicPolicy"),
	})
	if err != nil {
		return err
	}
	j.physicalID = out.ARN
	j.attributes["Id"] = out.ARN
	return nil
}

func (t secretResources) deletePolicy(j *job) error {
	_, err := t.secrets.DeleteResourcePolicy(j.call, &secretsapi.SecretInput{SecretID: j.physicalID})
	return unlessGone(err)
}

// parameterTypes returns the types of the parameter store.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ssm-parameter.html
func parameterTypes(ssm *ssmapi.Service) []resourceType {
	t := parameterResources{ssm}
	return []resourceType{{
		name: "AWS::SSM::Parameter", tagged: true,
		properties: map[string]property{
			"AllowedPattern": {unsupported: true},
			"DataType":       {},
			"Description":    {},
			"Name":           {replaces: true},
			"Policies":       {unsupported: true},
			"Tags":           {kind: anyObject},
			"Tier":           {},
			"Type":           {required: true},
			"Value":          {required: true},
		},
		attributes: []string{"Type", "Value"},
		create:     t.create, update: t.update, delete: t.delete,
	}}
}

// parameterResources does the work of AWS::SSM::Parameter.
type parameterResources struct{ ssm *ssmapi.Service }

func (t parameterResources) create(j *job) error {
	return t.put(j, j.nameOrNew("Name", 1011), false)
}

func (t parameterResources) update(j *job) error {
	if err := t.put(j, j.physicalID, true); err != nil {
		return err
	}
	set, remove := diffTags(j.oldTags, j.tags)
	in := &ssmapi.TagsInput{ResourceType: "Parameter", ResourceID: j.physicalID, TagKeys: remove}
	for _, tag := range set {
		in.Tags = append(in.Tags, ssmapi.Tag(tag))
	}
	if len(remove) > 0 {
		if _, err := t.ssm.RemoveTagsFromResource(j.call, in); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	_, err := t.ssm.AddTagsToResource(j.call, in)
	return err
}

func (t parameterResources) put(j *job, name string, overwrite bool) error {
	if j.text("Type") == "SecureString" {
		return invalid("AWS::SSM::Parameter cannot create parameters of type SecureString")
	}
	in := &ssmapi.PutParameterInput{
		Name: name, Value: j.text("Value"), Type: j.text("Type"), Description: j.text("Description"),
		Tier: j.text("Tier"), DataType: j.text("DataType"), Overwrite: overwrite,
	}
	if !overwrite { // tags and Overwrite cannot be used together
		for _, tag := range j.tags {
			in.Tags = append(in.Tags, ssmapi.Tag(tag))
		}
	}
	if _, err := t.ssm.PutParameter(j.call, in); err != nil {
		return err
	}
	j.physicalID = name
	j.attributes["Type"], j.attributes["Value"] = j.text("Type"), j.text("Value")
	return nil
}

func (t parameterResources) delete(j *job) error {
	_, err := t.ssm.DeleteParameter(j.call, &ssmapi.DeleteParameterInput{Name: j.physicalID})
	return unlessGone(err)
}
