package grant

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// encryptedByCreate reports a resource of a grant whose key is hidden among the
// properties that create it: nobody would write the key's policy. Keys that AWS
// manages are left to managedByAWS.
func (v *validator) encryptedByCreate(g *Grant, r Resource, k *kind) {
	name, key, set := keyIn(k, r.Create)
	_, isResource := v.m.Resources[r.Encryption]
	path := "resources." + g.Resource + ".create." + name
	switch {
	case !set:
	case isResource && key == "": // it is filled in
	case r.Encryption != "":
		v.report(v.m.problem("GX-B04", path, "leave it out: encryption sets it", "how the resource is encrypted is said twice, here and under encryption"))
	case !managedKey(key):
		v.report(v.m.problem("GX-B04", path, declareKey(g.Resource, name), "the key is named here, so neither its policy nor the consumer's permission to use it would be written"))
	}
}

// declareKey is the remedy for a key that a property of create names.
func declareKey(resource, property string) string {
	return fmt.Sprintf("declare the key as a resource of kind kms-key, name it in resources.%s.encryption, and leave %s out", resource, property)
}

// managedByAWS reports a grant to a consumer that could never use the resource,
// because AWS manages the key. A role of the owner's account may use it.
func (x *expander) managedByAWS(e *edge) {
	if e.via == "role" {
		return
	}
	k, r, g := e.resource.kind, e.resource.decl, e.grant
	name, key, set := keyIn(k, r.Create)
	switch {
	case set && managedKey(key) && r.Encryption == "":
		x.report(x.m.problem(RuleSharedKey, "resources."+g.Resource+".create."+name, declareKey(g.Resource, name),
			"the %s %q, which %s shares, is encrypted with a key that AWS manages for %s, which other accounts can never use", k.title, g.Resource, e.path, k.via))
	case !set && cmp.Or(r.Encryption, k.encryption) == "aws-managed":
		how := "is"
		if r.Encryption == "" {
			how = "does not say how it is encrypted, so it is"
		}
		x.report(x.m.problem(RuleSharedKey, e.path+".resource", fmt.Sprintf("encrypt it with a customer-managed key, declare that as a resource of kind kms-key, and name it in resources.%s.encryption; or give the access through a role of the owner's account (via: role)", g.Resource),
			"the %s %q %s encrypted with the key that AWS manages for %s, which other accounts can never use", k.title, g.Resource, how, k.via))
	}
}

// managedKey reports whether a key is one that AWS manages: it is named so, or
// not named at all.
func managedKey(key string) bool {
	return key == "" || strings.HasPrefix(key, "alias/aws/") || strings.Contains(key, ":alias/aws/")
}

// keyIn finds the key among the properties that create a resource. The key is
// "" if the service is to use its own, and something else than an alias of AWS
// if it is another, or found by a function of CloudFormation.
func keyIn(k *kind, create template.Object) (name, key string, set bool) {
	switch k.name {
	case "sqs-queue", "sns-topic":
		name = "KmsMasterKeyId"
	case "secret":
		name = "KmsKeyId"
	case "kinesis-stream":
		settings := member(create, "StreamEncryption")
		key, _ = keyOf(settings, "KeyId")
		return "StreamEncryption", key, settings != nil
	case "dynamodb-table":
		settings := member(create, "SSESpecification")
		switch property(settings, "SSEEnabled") {
		case nil, false, "false":
			return "", "", false // with a key that AWS owns
		}
		key, _ = keyOf(settings, "KMSMasterKeyId")
		return "SSESpecification", key, true
	case "s3-bucket":
		rules, _ := property(member(create, "BucketEncryption"), "ServerSideEncryptionConfiguration").([]any)
		for _, rule := range rules {
			o, _ := rule.(template.Object)
			settings := member(o, "ServerSideEncryptionByDefault")
			if algorithm, _ := text(settings, "SSEAlgorithm"); strings.HasPrefix(algorithm, "aws:kms") {
				key, _ = keyOf(settings, "KMSMasterKeyID")
				return "BucketEncryption", key, true
			}
		}
		return "", "", false
	default:
		return "", "", false
	}
	key, set = keyOf(create, name)
	return name, key, set
}

// keyOf returns a property that names a key.
func keyOf(o template.Object, name string) (string, bool) {
	found := property(o, name)
	if s, ok := found.(string); ok || found == nil {
		return s, found != nil
	}
	return "another", true
}

// property returns a member of an object, or nil.
func property(o template.Object, key string) any {
	for _, m := range o {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}
