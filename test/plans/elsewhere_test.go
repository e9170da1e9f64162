package plans

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const pricesElsewhere = parties + `
resources:
  prices: {kind: http-api, id_from: {parameter: "/shop/{stage}/prices-api"}}
grants:
  - {name: prices, consumer: bi, resource: prices, access: read, stages: [prod]}
`

// What another stack created is given to a deployment, as deploy.sh asks AWS for it.
func TestIDFromElsewhere(t *testing.T) {
	box := sandboxtest.New(t, "111111111111", "222222222222", "333333333333", "444444444444")
	box.Account("444444444444").Role("production-bi", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"444444444444"},"Action":"sts:AssumeRole"}}`, nil)
	d := newDeployment(t, box, pricesElsewhere)
	if err := d.Deploy(t.Context()); err == nil || !strings.Contains(err.Error(), "from outside the plan; give it in Values") {
		t.Fatalf("without the id: %v", err)
	}
	d.Values = map[string]string{}
	for _, s := range d.plan.Stacks() {
		for _, i := range s.Inputs {
			if i.Elsewhere {
				d.Values[i.Parameter] = "a1b2c3d4e5"
			}
		}
	}
	d.deploy()
	// HTTP APIs have no policies: a role of the owner's account is assumed.
	reader := aws.String("readonly-invoke-prod-shop-by-bi-production")
	client := iam.NewFromConfig(box.Account("222222222222").Config())
	inline, err := client.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: reader})
	if err != nil || len(inline.PolicyNames) != 1 {
		t.Fatalf("%v %v", inline, err)
	}
	policy, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: reader, PolicyName: &inline.PolicyNames[0]})
	if err != nil || !strings.Contains(*policy.PolicyDocument, "a1b2c3d4e5") {
		t.Errorf("the role's policy does not have the id: %v %v", policy, err)
	}
	d.remove()
}

func TestOnlyCloudFormationIsDeployed(t *testing.T) {
	m, err := grant.Parse([]byte(pricesElsewhere))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.Terraform})
	if err != nil {
		t.Fatal(err)
	}
	box := sandboxtest.New(t, "111111111111", "222222222222", "333333333333", "444444444444")
	if err := sandboxtest.NewDeployment(box.Sandbox, plan).Deploy(t.Context()); err == nil || !strings.Contains(err.Error(), "compiled as terraform") {
		t.Error(err)
	}
}
