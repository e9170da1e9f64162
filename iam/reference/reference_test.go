package reference

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
)

// Every service decodes: a damaged embed would otherwise panic at a customer's.
func TestEverythingDecodes(t *testing.T) {
	actions := 0
	for _, prefix := range Services() {
		s, ok := LookupService(prefix)
		if !ok {
			t.Fatalf("LookupService(%q) found nothing", prefix)
		}
		if s.Name == "" {
			t.Errorf("%s has no name", prefix)
		}
		actions += len(s.Actions())
		for _, a := range s.Actions() {
			for _, r := range a.Resources {
				if !r.Type.MatchesARN(r.Type.ARN) {
					t.Errorf("%s: type %s does not match its own template %s", a, r.Type.Name, r.Type.ARN)
				}
			}
		}
	}
	if len(Services()) < 456 || actions < 22000 {
		t.Errorf("%d services with %d actions: less than the generator wrote", len(Services()), actions)
	}
	if len(servicesBin) > 500_000 {
		t.Errorf("services.bin has %d bytes, more than everybody should have to link", len(servicesBin))
	}
}

func TestLookupAction(t *testing.T) {
	tests := []struct {
		name, want string
		level      AccessLevel
		resources  string
	}{
		{"s3:getobject", "s3:GetObject", LevelRead, "accesspointobject object"},
		{"S3:LISTBUCKET", "s3:ListBucket", LevelList, "accesspoint bucket"},
		{"sts:AssumeRole", "sts:AssumeRole", LevelWrite, "role!"},
		{"ssm:DescribeParameters", "ssm:DescribeParameters", LevelList, ""},
		{"iam:PutRolePolicy", "iam:PutRolePolicy", LevelPermissionsManagement, "role!"},
		{"s3:PutObjectTagging", "s3:PutObjectTagging", LevelTagging, "accesspointobject object"},
	}
	for _, test := range tests {
		a, ok := LookupAction(test.name)
		if !ok {
			t.Errorf("LookupAction(%q) found nothing", test.name)
			continue
		}
		var resources []string
		for _, r := range a.Resources {
			name := r.Type.Name
			if r.Required {
				name += "!"
			}
			resources = append(resources, name)
		}
		if got := strings.Join(resources, " "); a.String() != test.want || a.Level != test.level || got != test.resources {
			t.Errorf("LookupAction(%q) = %s, %s, resources %q; want %s, %s, %q", test.name, a, a.Level, got, test.want, test.level, test.resources)
		}
	}
	for _, name := range []string{"", "s3", "s3:", "s3:Get*", "nosuch:Thing", "s3:GetObjects"} {
		if a, ok := LookupAction(name); ok {
			t.Errorf("LookupAction(%q) = %s, want nothing", name, a)
		}
	}
}

func TestExpand(t *testing.T) {
	tests := []struct {
		pattern string
		has     string // "" for nothing at all
		lacks   string
	}{
		{"s3:GetObject", "s3:GetObject", "s3:GetObjectAcl"},
		{"S3:getobject*", "s3:GetObjectAcl", "s3:GetBucketAcl"},
		{"s3:Get?bject", "s3:GetObject", "s3:GetObjectAcl"},
		{"dynamodb:Get*", "dynamodb:GetItem", "dynamodb:Scan"},
		{"*", "ec2:RunInstances", ""},
		{"*:*", "ec2:RunInstances", ""},
		{"s3:" + iam.Symbol("Verb") + "Object", "s3:GetObject", "s3:GetBucketAcl"},
		{iam.Symbol("Service") + ":RunInstances", "ec2:RunInstances", "ec2:StopInstances"},
		{"s3:Gett*", "", ""},
		{"", "", ""},
		{"nosuch:*", "", ""},
	}
	for _, test := range tests {
		found := make(map[string]bool)
		for _, a := range Expand(test.pattern) {
			found[a.String()] = true
		}
		if got := MatchesAction(test.pattern); got != (len(found) > 0) {
			t.Errorf("MatchesAction(%q) = %t, but Expand found %d", test.pattern, got, len(found))
		}
		switch {
		case test.has == "" && len(found) > 0:
			t.Errorf("Expand(%q) found %d actions, want none", test.pattern, len(found))
		case test.has != "" && !found[test.has]:
			t.Errorf("Expand(%q) lacks %s", test.pattern, test.has)
		case test.lacks != "" && found[test.lacks]:
			t.Errorf("Expand(%q) has %s", test.pattern, test.lacks)
		}
	}
}

func TestMatchesARN(t *testing.T) {
	symbol := iam.Symbol("Bucket")
	tests := []struct {
		service, resource, arn string
		want                   bool
	}{
		{"s3", "bucket", "arn:aws:s3:::logs", true},
		{"s3", "bucket", "arn:aws:s3:::logs/*", false},
		{"s3", "bucket", "arn:aws:s3:::*", true},
		{"s3", "bucket", "*", true},
		{"s3", "bucket", "arn:" + iam.Symbol("AWS::Partition") + ":s3:::logs", true},
		{"s3", "bucket", "arn:aws:s3:::logs/" + symbol, false},
		{"s3", "bucket", symbol, true},
		{"s3", "object", "arn:aws:s3:::logs", false},
		{"s3", "object", "arn:" + iam.Symbol("AWS::Partition") + ":s3:::logs", false},
		{"s3", "object", "arn:" + iam.Symbol("AWS::Partition") + ":s3:::" + symbol, true},
		{"s3", "object", "arn:aws:s3:::logs/*", true},
		{"s3", "object", "arn:aws:s3:::logs*", true},
		{"s3", "object", "arn:aws:s3:::logs/${aws:username}/*", true},
		{"s3", "object", "arn:aws:s3:::" + symbol, true},
		{"s3", "accesspoint", "arn:aws:s3:::*/*", false},
		{"s3", "accesspoint", "arn:aws:s3:eu-west-1:111122223333:accesspoint/logs", true},
		{"s3", "accesspoint", "arn:aws:s3:eu-west-1:111122223333:accesspoint/logs/object/*", false},
		{"dynamodb", "table", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders", true},
		{"dynamodb", "table", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/index/*", false},
		{"dynamodb", "index", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/index/*", true},
		{"kinesis", "stream", "arn:aws:kinesis:eu-west-1:111122223333:stream/a/consumer/b:1", false},
		{"kinesis", "consumer", "arn:aws:kinesis:eu-west-1:111122223333:stream/a/consumer/b:1", true},
		{"kms", "key", "arn:aws:kms:eu-west-1:111122223333:alias/app", false},
		{"iam", "role", "arn:aws:iam::111122223333:role/path/app", true},
		{"iam", "role", "arn:aws:iam::*:role/AppRole*", true},
		{"iam", "role", "arn:aws:iam::111122223333:user/ann", false},
		{"execute-api", "execute-api-general", "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3/prod/GET/pets", true},
		{"execute-api", "execute-api-general", "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3/*", true},
		{"logs", "log-group", "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/app:*", true},
	}
	for _, test := range tests {
		s, ok := LookupService(test.service)
		if !ok {
			t.Fatalf("no service %s", test.service)
		}
		r, ok := s.ResourceType(test.resource)
		if !ok {
			t.Fatalf("%s: no resource type %s", test.service, test.resource)
		}
		if got := r.MatchesARN(test.arn); got != test.want {
			t.Errorf("%s %s (%s) MatchesARN(%q) = %t, want %t", test.service, test.resource, r.ARN, test.arn, got, test.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"", "*", true},
		{"a", "", false},
		{"a*", "*b", true},
		{"a*c", "ab*", true},
		{"a?", "a", false},
		{"a?", "?b", true},
		{"a*", "b*", false},
		{"*a*", "*b*", true},
		{iam.Symbol("X") + "a", "b", false},
		{iam.Symbol("X") + "a", "ba", true},
		{strings.Repeat("*", 5000), strings.Repeat("a", 5000), true},
	}
	for _, test := range tests {
		if got := Overlap(test.a, test.b); got != test.want {
			t.Errorf("Overlap(%q, %q) = %t, want %t", test.a, test.b, got, test.want)
		}
		if got := Overlap(test.b, test.a); got != test.want {
			t.Errorf("Overlap(%q, %q) = %t, want %t", test.b, test.a, got, test.want)
		}
	}
}

// Overlap is compared with the definition on every small pattern.
func TestOverlapExhaustively(t *testing.T) {
	words := func(alphabet string, longest int) []string {
		all := []string{""}
		for start, length := 0, 0; length < longest; length++ {
			end := len(all)
			for _, w := range all[start:end] {
				for _, c := range alphabet {
					all = append(all, w+string(c))
				}
			}
			start = end
		}
		return all
	}
	patterns, texts := words("ab*?", 3), words("ab", 6)
	matching := make(map[string]map[string]bool)
	for _, p := range patterns {
		matching[p] = make(map[string]bool)
		for _, s := range texts {
			if iam.MatchWildcard(p, s) {
				matching[p][s] = true
			}
		}
	}
	for _, a := range patterns {
		for _, b := range patterns {
			want := false
			for s := range matching[a] {
				want = want || matching[b][s]
			}
			if got := Overlap(a, b); got != want {
				t.Fatalf("Overlap(%q, %q) = %t, want %t", a, b, got, want)
			}
		}
	}
}

func TestSuggestions(t *testing.T) {
	tests := []struct{ got, want string }{
		{SuggestAction("s3:GetObjects"), "s3:GetObject"},
		{SuggestAction("s3:ListObjectsV2"), "s3:ListBucket"},
		{SuggestAction("sts:AssumRole"), "sts:AssumeRole"},
		{SuggestAction("s3:RunInstances"), ""},
		{SuggestAction("payments:GetPaymentPreferences"), ""},
		{SuggestAction("sts:AsumeRole"), "sts:AssumeRole"},
		{SuggestAction("dynamo:GetItem"), "dynamodb:GetItem"},
		{SuggestAction("lambda:Invoke"), "lambda:InvokeFunction"},
		{SuggestAction("dynamodv:GetItem"), "dynamodb:GetItem"},
		{SuggestAction("GetObject"), ""},
		{SuggestService("kinessis"), "kinesis"},
		{SuggestService("quantum-teleport"), ""},
		{SuggestKey("aws:PrincipleArn"), "aws:PrincipalArn"},
		{SuggestKey("PrincipalArn"), "aws:PrincipalArn"},
		{SuggestKey("sts:ExternalID2"), "sts:ExternalId"},
		{SuggestKey("aws:PrincipleTag/team"), "aws:PrincipalTag/team"},
		{SuggestKey("aws:Unheard"), ""},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("suggested %q, want %q", test.got, test.want)
		}
	}
}

func TestLookupKey(t *testing.T) {
	tests := []struct {
		key, name string
		kind      KeyKind
		multi     bool
	}{
		{"aws:principalarn", "aws:PrincipalArn", KeyARN, false},
		{"aws:PrincipalTag/team", "aws:PrincipalTag/${TagKey}", KeyString, false},
		{"aws:TagKeys", "aws:TagKeys", KeyString, true},
		{"sts:ExternalId", "sts:ExternalId", KeyString, false},
		{"s3:prefix", "s3:prefix", KeyString, false},
		{"secretsmanager:ResourceTag/team", "secretsmanager:ResourceTag/tag-key", KeyString, false},
		{"sagemaker:ResourceTag/team", "sagemaker:ResourceTag/", KeyString, false},
		{"catalog:ChangeType", "catalog:ChangeType", KeyString, false},
		{"s3:ExistingObjectTag/class", "s3:ExistingObjectTag/<key>", KeyString, false},
		{"kms:EncryptionContext:SecretARN", "kms:EncryptionContext:${EncryptionContextKey}", KeyString, false},
		{"accounts.google.com:aud", "accounts.google.com:aud", KeyString, false},
		{"token.actions.githubusercontent.com:actor", "token.actions.githubusercontent.com:actor", KeyString, false},
	}
	for _, test := range tests {
		k, ok := LookupKey(test.key)
		if !ok || k.Name != test.name || k.Type.Kind != test.kind || k.Type.Multivalued != test.multi {
			t.Errorf("LookupKey(%q) = %+v, %t; want %s, %s, multivalued %t", test.key, k, ok, test.name, test.kind, test.multi)
		}
	}
	for _, key := range []string{"", "aws:", "aws:Nothing", "aws:PrincipalTag/", "s3:nothing", "oidc.example.com:sub"} {
		if k, ok := LookupKey(key); ok {
			t.Errorf("LookupKey(%q) = %s, want nothing", key, k.Name)
		}
	}
}

func BenchmarkLookupAction(b *testing.B) {
	for b.Loop() {
		LookupAction("s3:GetObject")
	}
}
