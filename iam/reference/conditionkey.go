package reference

import (
	"slices"
	"strings"
)

// KeyKind is the type of a condition key's values.
type KeyKind int

// The kinds of values.
const (
	KeyUnknown KeyKind = iota // the reference does not say
	KeyString
	KeyARN
	KeyBool
	KeyNumeric
	KeyDate
	KeyIPAddress
)

// String returns AWS's name of the kind.
func (k KeyKind) String() string {
	switch k {
	case KeyString:
		return "String"
	case KeyARN:
		return "ARN"
	case KeyBool:
		return "Bool"
	case KeyNumeric:
		return "Numeric"
	case KeyDate:
		return "Date"
	case KeyIPAddress:
		return "IPAddress"
	}
	return "unknown"
}

// A KeyType is the type of a condition key.
type KeyType struct {
	Kind        KeyKind
	Multivalued bool // needs ForAllValues or ForAnyValue
}

// A ConditionKey is a condition key and its type. Name is in AWS's spelling and
// may have a placeholder, as in "aws:RequestTag/${TagKey}".
type ConditionKey struct {
	Name string
	Type KeyType
}

// matches reports whether key is this key, or one that its placeholder allows.
func (k *ConditionKey) matches(key string) bool {
	if strings.EqualFold(k.Name, key) {
		return true
	}
	return k.HasPlaceholder() && overlap(keyTemplate(strings.ToLower(k.Name)), patternTokens(strings.ToLower(key)))
}

// HasPlaceholder reports whether the key stands for many, as tag keys do. The
// values of such a key are whatever its owner puts there.
func (k *ConditionKey) HasPlaceholder() bool {
	return strings.ContainsAny(k.Name, "$<") || strings.HasSuffix(k.Name, "/tag-key") || strings.HasSuffix(k.Name, "/")
}

// keyTemplate compiles a key's name. Placeholders are written ${Name} or
// <name> and stand for at least one byte.
func keyTemplate(name string) []token {
	// Two notations that a few services' tables use instead.
	if stem, ok := strings.CutSuffix(name, "/tag-key"); ok {
		name = stem + "/"
	}
	if strings.HasSuffix(name, "/") {
		name += "<tag-key>"
	}
	var tokens []token
	for i := 0; i < len(name); i++ {
		closing := byte(0)
		switch {
		case strings.HasPrefix(name[i:], "${"):
			closing = '}'
		case name[i] == '<':
			closing = '>'
		}
		end := -1
		if closing != 0 {
			end = strings.IndexByte(name[i:], closing)
		}
		if end < 0 {
			tokens = append(tokens, token{literal: name[i]})
			continue
		}
		tokens = append(tokens, token{any: true}, token{any: true, repeat: true})
		i += end
	}
	return tokens
}

// ConditionKeys returns the keys the service documents, sorted, among them the
// tag keys of the aws: namespace that its actions support.
func (s *Service) ConditionKeys() []ConditionKey { return slices.Clone(s.keys) }

// ConditionKey returns what the service documents about a key. Case does not
// matter.
func (s *Service) ConditionKey(key string) (ConditionKey, bool) {
	for i := range s.keys {
		if s.keys[i].matches(key) {
			return s.keys[i], true
		}
	}
	return ConditionKey{}, false
}

// GlobalKeys returns the keys that are not tied to one service.
func GlobalKeys() []ConditionKey { return slices.Clone(globalKeys) }

// LookupKey returns what is known about a condition key: a global key, or one
// of the service that its prefix names. Case does not matter. Prefixes that are
// no service, such as those of identity providers ("accounts.google.com:aud"),
// are looked for in the few services that have such keys.
func LookupKey(key string) (ConditionKey, bool) {
	for i := range globalKeys {
		if globalKeys[i].matches(key) {
			return globalKeys[i], true
		}
	}
	prefix, _, _ := strings.Cut(key, ":")
	if s, ok := LookupService(prefix); ok {
		return s.ConditionKey(key)
	}
	for _, owner := range []string{"sts", "aws-marketplace", "sso", "cognito-identity"} {
		s, _ := LookupService(owner)
		if k, ok := s.ConditionKey(key); ok {
			return k, true
		}
	}
	return ConditionKey{}, false
}

// SuggestKey returns the key that was probably meant, or "". Only global keys
// and those of the service that the prefix names are considered.
func SuggestKey(key string) string {
	prefix, _, ok := strings.Cut(key, ":")
	if !ok {
		// A forgotten prefix: "PrincipalArn".
		for _, k := range globalKeys {
			if strings.EqualFold("aws:"+key, k.Name) {
				return k.Name
			}
		}
		return ""
	}
	var names []string
	if s, ok := LookupService(prefix); ok {
		for _, k := range s.keys {
			names = append(names, k.Name)
		}
	}
	for _, k := range globalKeys {
		names = append(names, k.Name)
	}
	// A tag key is the user's own; only what stands before it can be misspelt.
	if stem, tag, ok := strings.Cut(key, "/"); ok {
		var stems []string
		for _, n := range names {
			if s, _, ok := strings.Cut(n, "/"); ok {
				stems = append(stems, s)
			}
		}
		if near := Nearest(stem, stems); near != "" {
			return near + "/" + tag
		}
		return ""
	}
	return Nearest(key, names)
}

// The global condition keys, with those of other prefixes that sessions carry
// wherever they are used.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
var globalKeys = []ConditionKey{
	// about the principal
	{"aws:PrincipalArn", KeyType{Kind: KeyARN}},
	{"aws:PrincipalAccount", KeyType{Kind: KeyString}},
	{"aws:PrincipalOrgPaths", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:PrincipalOrgID", KeyType{Kind: KeyString}},
	{"aws:PrincipalOrgMasterAccountId", KeyType{Kind: KeyString}}, // in AWS's own policies, not documented
	{"aws:PrincipalTag/${TagKey}", KeyType{Kind: KeyString}},
	{"aws:PrincipalIsAWSService", KeyType{Kind: KeyBool}},
	{"aws:PrincipalServiceName", KeyType{Kind: KeyString}},
	{"aws:PrincipalServiceNamesList", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:PrincipalType", KeyType{Kind: KeyString}},
	{"aws:userid", KeyType{Kind: KeyString}},
	{"aws:username", KeyType{Kind: KeyString}},
	// about the session
	{"aws:AssumedRoot", KeyType{Kind: KeyBool}},
	{"aws:FederatedProvider", KeyType{Kind: KeyString}},
	{"aws:TokenIssueTime", KeyType{Kind: KeyDate}},
	{"aws:MultiFactorAuthAge", KeyType{Kind: KeyNumeric}},
	{"aws:MultiFactorAuthPresent", KeyType{Kind: KeyBool}},
	{"aws:ChatbotSourceArn", KeyType{Kind: KeyARN}},
	{"aws:Ec2InstanceSourceVpc", KeyType{Kind: KeyString}},
	{"aws:Ec2InstanceSourcePrivateIPv4", KeyType{Kind: KeyIPAddress}},
	{"aws:SourceIdentity", KeyType{Kind: KeyString}},
	{"ec2:RoleDelivery", KeyType{Kind: KeyNumeric}},
	{"ec2:SourceInstanceArn", KeyType{Kind: KeyARN}},
	{"glue:RoleAssumedBy", KeyType{Kind: KeyString}},
	{"glue:CredentialIssuingService", KeyType{Kind: KeyString}},
	{"identitystore:UserId", KeyType{Kind: KeyString}},
	{"lambda:SourceFunctionArn", KeyType{Kind: KeyARN}},
	{"ssm:SourceInstanceArn", KeyType{Kind: KeyARN}},
	// about the network
	{"aws:SourceIp", KeyType{Kind: KeyIPAddress}},
	{"aws:SourceVpc", KeyType{Kind: KeyString}},
	{"aws:SourceVpcArn", KeyType{Kind: KeyARN}},
	{"aws:SourceVpce", KeyType{Kind: KeyString}},
	{"aws:VpceAccount", KeyType{Kind: KeyString}},
	{"aws:VpceOrgID", KeyType{Kind: KeyString}},
	{"aws:VpceOrgPaths", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:VpcSourceIp", KeyType{Kind: KeyIPAddress}},
	// about the resource
	{"aws:ResourceAccount", KeyType{Kind: KeyString}},
	{"aws:ResourceOrgID", KeyType{Kind: KeyString}},
	{"aws:ResourceOrgPaths", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:ResourceTag/${TagKey}", KeyType{Kind: KeyString}},
	// about the request
	{"aws:CalledVia", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:CalledViaFirst", KeyType{Kind: KeyString}},
	{"aws:CalledViaLast", KeyType{Kind: KeyString}},
	{"aws:CalledViaAWSMCP", KeyType{Kind: KeyString}},
	{"aws:ViaAWSService", KeyType{Kind: KeyBool}},
	{"aws:ViaAWSMCPService", KeyType{Kind: KeyBool}},
	{"aws:IsMcpServiceAction", KeyType{Kind: KeyBool}},
	{"aws:CurrentTime", KeyType{Kind: KeyDate}},
	{"aws:EpochTime", KeyType{Kind: KeyDate}}, // a number of seconds; AWS accepts Date and Numeric operators
	{"aws:referer", KeyType{Kind: KeyString}},
	{"aws:RequestedRegion", KeyType{Kind: KeyString}},
	{"aws:RequestTag/${TagKey}", KeyType{Kind: KeyString}},
	{"aws:TagKeys", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:SecureTransport", KeyType{Kind: KeyBool}},
	{"aws:SourceAccount", KeyType{Kind: KeyString}},
	{"aws:SourceArn", KeyType{Kind: KeyARN}},
	{"aws:SourceOrgID", KeyType{Kind: KeyString}},
	{"aws:SourceOrgPaths", KeyType{Kind: KeyString, Multivalued: true}},
	{"aws:SourceOwner", KeyType{Kind: KeyString}},
	{"aws:UserAgent", KeyType{Kind: KeyString}},
}
