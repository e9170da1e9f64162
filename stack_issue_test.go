package crossaccount

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// Rule 7: bytes that differ from what was built are not issued.
func TestRule7_ChangedBytesAreNotIssued(t *testing.T) {
	s := mustBuild(t, everythingInput())
	data, err := renderStack(s, FormatCloudFormation)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkIssued(data, s); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"vendor":      {"iam::111122223333:root", "iam::999999999999:root"},
		"external ID": {`"sts:ExternalId"`, `"sts:RoleSessionName"`},
		"operator":    {`"StringEquals"`, `"StringLike"`},
		"action":      {`"s3:GetObject"`, `"s3:*"`},
		"condition":   {`"SetupPhaseActive",`, `"HasPreviousExternalIdX",`},
		"inline":      {`"iam:GetRolePolicy"`, `"iam:PutRolePolicy"`},
		"type":        {`"AWS::IAM::ManagedPolicy"`, `"AWS::IAM::Policy"`},
		"syntax":      {`"Resources"`, `Resources`},
	} {
		changed := strings.Replace(string(data), change[0], change[1], 1)
		if changed == string(data) {
			t.Errorf("%s: nothing to change", name)
		}
		if err := checkIssued([]byte(changed), s); err == nil {
			t.Errorf("%s: a template with %s for %s would be issued", name, change[1], change[0])
		}
	}
}

// Rule 7: the exact bytes of every policy that is issued pass the linter.
func TestRule7_IssuedPoliciesPassTheLinter(t *testing.T) {
	for name, in := range map[string]stackInput{"minimal": minimalInput(), "typical": typicalInput(), "everything": everythingInput()} {
		t.Run(name, func(t *testing.T) {
			s := resolved(t, mustBuild(t, in), ParameterPreviousExternalID, "acme-older")
			documents := policyDocuments(s)
			role := theRole(t, s)
			documents["trust"] = role.Trust
			for _, p := range role.Inline {
				documents[p.Name] = p.Document
			}
			for name, p := range documents {
				data, err := p.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				o := lint.Options{Kind: iam.KindIdentity}
				if name == "trust" {
					o = lint.Options{Kind: iam.KindTrust, CrossAccount: true}
				}
				for _, f := range lint.Document(data, o) {
					if f.Severity >= lint.Error {
						t.Errorf("%s: %v", name, f)
					}
				}
			}
		})
	}
}

// Rule 7: bytes that say what was built are still not issued if the linter
// refuses them.
func TestRule7_BytesThatTheLinterRefusesAreNotIssued(t *testing.T) {
	managed := func(s *template.Stack) *template.ManagedPolicy {
		for _, r := range s.Resources {
			if p, ok := r.Kind.(*template.ManagedPolicy); ok {
				return p
			}
		}
		t.Fatal("the stack has no managed policy")
		return nil
	}
	for name, test := range map[string]struct {
		spoil func(*template.Stack)
		id    string // of the lint rule
	}{
		"a permission on what is no ARN": {func(s *template.Stack) {
			managed(s).Document.Statements[0].Resource = []string{"my-bucket/*"}
		}, "GX-R01"},
		"an inline policy on what is no ARN": {func(s *template.Stack) {
			s.Resources[0].Kind.(*template.Role).Inline[0].Document.Statements[0].Resource = []string{"my-role"}
		}, "GX-R01"},
		"a trust policy for everybody": {func(s *template.Stack) {
			s.Resources[0].Kind.(*template.Role).Trust.Statements[0].Principal = &iam.Principals{AWS: []string{"*"}}
			s.Resources[0].Kind.(*template.Role).Trust.Statements[0].Conditions = nil
		}, "GX-P01"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustBuild(t, everythingInput())
			test.spoil(s)
			data, err := cfn.Write(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkIssued(data, s); err == nil || !strings.Contains(err.Error(), "("+test.id) {
				t.Errorf("checkIssued says %v, want it to name %s", err, test.id)
			}
			if _, err := renderStack(s, FormatCloudFormation); CodeOf(err) != CodeTemplate {
				t.Errorf("renderStack says %v", err)
			}
		})
	}
}

// Rule 7 through the front door: only the finished bytes show that this ARN has
// a region, because until then it is a pseudo parameter.
func TestRule7_NewLintsTheExactBytes(t *testing.T) {
	config := &Config{
		ServiceName: "Acme", ServiceAccountID: "111122223333", TemplateS3Bucket: "acme-templates",
		OngoingPermissions: []Permission{{Sid: "Role", Effect: "Allow", Actions: []string{"iam:GetRole"}, Resources: []string{"arn:aws:iam:${AWS::Region}:${AWS::AccountId}:role/x"}}},
	}
	_, err := New(config, WithLogger(nil))
	if err == nil || !strings.Contains(err.Error(), "GX-R01") {
		t.Errorf("New says %v, want it to name GX-R01", err)
	}
	config.OngoingPermissions[0].Resources = []string{"arn:aws:iam::${AWS::AccountId}:role/x"}
	if _, err := New(config, WithLogger(nil)); err != nil {
		t.Errorf("without the region: %v", err)
	}
}
