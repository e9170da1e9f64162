package crossaccount

import (
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
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
