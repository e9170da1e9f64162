package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// What Kubernetes takes, with its own names; anything else in a manifest is an
// error of this test.
//
// https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/validating-admission-policy-v1/
type (
	objectHead struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name        string            `yaml:"name"`
			Namespace   string            `yaml:"namespace"`
			Annotations map[string]string `yaml:"annotations"`
			Labels      map[string]string `yaml:"labels"`
		} `yaml:"metadata"`
	}
	admissionPolicyObject struct {
		objectHead `yaml:",inline"`
		Spec       struct {
			FailurePolicy    string `yaml:"failurePolicy"`
			MatchConstraints struct {
				ResourceRules []struct {
					APIGroups   []string `yaml:"apiGroups"`
					APIVersions []string `yaml:"apiVersions"`
					Operations  []string `yaml:"operations"`
					Resources   []string `yaml:"resources"`
				} `yaml:"resourceRules"`
			} `yaml:"matchConstraints"`
			Validations []struct {
				Expression string `yaml:"expression"`
				Message    string `yaml:"message"`
			} `yaml:"validations"`
		} `yaml:"spec"`
	}
	admissionBindingObject struct {
		objectHead `yaml:",inline"`
		Spec       struct {
			PolicyName        string   `yaml:"policyName"`
			ValidationActions []string `yaml:"validationActions"`
		} `yaml:"spec"`
	}
)

// manifests are the files of a plan for two consumers whose roles have names and
// paths that are easy to get wrong, and for pods with Pod Identity.
func manifests(t *testing.T) []grant.KubernetesFile {
	t.Helper()
	m, err := grant.Parse([]byte(`
version: 1
accounts:
  shop-prod: {id: "111111111111", regions: [us-east-1]}
  bi-prod: {id: "222222222222", regions: [us-east-1]}
  ml-prod: {id: "333333333333", regions: [us-east-1]}
apps:
  shop: {accounts: {prod: shop-prod}}
clusters:
  live: {account: bi-prod, issuer: "https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPL0"}
consumers:
  bi: {accounts: {production: bi-prod}, role: {name: Reports_Reader, service_account: {namespace: "123", name: "true", clusters: {production: [live]}}}}
  ml: {accounts: {production: ml-prod}, role: {name: Reports_Reader, service_account: {namespace: "on", name: "1e3", clusters: {production: [live]}}}}
resources:
  jobs: {kind: sqs-queue, name: "{stage}-jobs", create: {}}
grants:
  - {name: bi, consumer: bi, resource: jobs, access: consume}
  - {name: ml, consumer: ml, resource: jobs, access: consume}
  - name: hyphen
    consumer: bi
    resource: jobs
    access: consume
    role: {name: Reports-Reader, service_account: {namespace: reports, name: hyphen, clusters: {production: [live]}}}
  - name: pods
    consumer: bi
    resource: jobs
    access: consume
    role: {name: pods, service_account: {namespace: reports, name: pods, via: pod-identity, clusters: {production: [live]}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	return p.Kubernetes
}

// The manifests are what Kubernetes takes: only fields that exist, names of the
// right form, and for each role a policy of its own although they share a
// cluster.
func TestKubernetesManifests(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	seen, paths, accounts := map[string]bool{}, map[string]bool{}, map[string]map[string]string{}
	for _, file := range manifests(t) {
		if paths[file.Path] {
			t.Errorf("two files are %s", file.Path)
		}
		paths[file.Path] = true
		documents, err := yaml.NewLoader(bytes.NewReader(file.Data), yaml.WithKnownFields())
		if err != nil {
			t.Fatal(err)
		}
		var account objectHead
		if err := documents.Load(&account); err != nil || account.APIVersion != "v1" || account.Kind != "ServiceAccount" {
			t.Fatalf("%s: %+v, %v", file.Path, account, err)
		}
		accounts[account.Metadata.Namespace+"/"+account.Metadata.Name] = account.Metadata.Annotations
		var policy admissionPolicyObject
		if err := documents.Load(&policy); errors.Is(err, io.EOF) {
			continue // Pod Identity needs no annotation, so nobody can name a role
		} else if err != nil {
			t.Fatalf("%s: %v\n%s", file.Path, err, file.Data)
		}
		var binding admissionBindingObject
		if err := documents.Load(&binding); err != nil {
			t.Fatalf("%s: %v", file.Path, err)
		}
		if err := documents.Load(new(any)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: more than three objects: %v", file.Path, err)
		}
		rule := policy.Spec.MatchConstraints.ResourceRules
		if policy.Kind != "ValidatingAdmissionPolicy" || binding.Kind != "ValidatingAdmissionPolicyBinding" || policy.APIVersion != "admissionregistration.k8s.io/v1" || binding.APIVersion != policy.APIVersion ||
			binding.Spec.PolicyName != policy.Metadata.Name || fmt.Sprint(binding.Spec.ValidationActions) != "[Deny]" || policy.Spec.FailurePolicy != "Fail" ||
			fmt.Sprint(rule) != "[{[] [v1] [CREATE UPDATE] [serviceaccounts]}]" || len(rule[0].APIGroups) != 1 || len(policy.Spec.Validations) != 1 {
			t.Errorf("%s: %+v, %+v", file.Path, policy, binding)
		}
		for _, n := range []string{policy.Metadata.Name, binding.Metadata.Name} {
			if !name.MatchString(n) {
				t.Errorf("%q is no name of Kubernetes", n)
			}
		}
		if seen[policy.Metadata.Name] {
			t.Errorf("two roles share the policy %s, of which the cluster keeps one", policy.Metadata.Name)
		}
		seen[policy.Metadata.Name] = true
	}
	roles := map[string]string{"123/true": "arn:aws:iam::222222222222:role/Reports_Reader", "on/1e3": "arn:aws:iam::333333333333:role/Reports_Reader", "reports/hyphen": "arn:aws:iam::222222222222:role/Reports-Reader", "reports/pods": ""}
	if len(accounts) != len(roles) {
		t.Errorf("service accounts %v, want those of %v", accounts, roles)
	}
	for account, role := range roles {
		if got, ok := accounts[account]; !ok || got["eks.amazonaws.com/role-arn"] != role {
			t.Errorf("%s has %v, want the role %q", account, got, role)
		}
	}
}

// The admission policies compile in the language Kubernetes evaluates, and let
// the role's own service account name it and nobody else.
func TestAdmissionPolicies(t *testing.T) {
	env, err := cel.NewEnv(cel.Variable("object", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	const role = "arn:aws:iam::222222222222:role/Reports_Reader"
	annotated := func(namespace, name string, annotations map[string]any) map[string]any {
		metadata := map[string]any{"namespace": namespace, "name": name}
		if annotations != nil {
			metadata["annotations"] = annotations
		}
		return map[string]any{"metadata": metadata}
	}
	of := func(arn string) map[string]any { return map[string]any{"eks.amazonaws.com/role-arn": arn} }
	tried := 0
	for _, file := range manifests(t) {
		if !bytes.Contains(file.Data, []byte("!= \""+role+"\"")) {
			continue
		}
		documents := bytes.Split(file.Data, []byte("\n---\n"))
		var policy admissionPolicyObject
		if err := yaml.Load(documents[1], &policy); err != nil {
			t.Fatal(err)
		}
		ast, issues := env.Compile(policy.Spec.Validations[0].Expression)
		if issues.Err() != nil {
			t.Fatalf("%s\n%v", policy.Spec.Validations[0].Expression, issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name   string
			object map[string]any
			want   bool
		}{
			{"its own service account", annotated("123", "true", of(role)), true},
			{"without annotations", annotated("other", "other", nil), true},
			{"with other annotations", annotated("other", "other", map[string]any{"team": "blue"}), true},
			{"with another role", annotated("other", "other", of(role+"s")), true},
			{"another service account", annotated("123", "false", of(role)), false},
			{"another namespace", annotated("124", "true", of(role)), false},
			{"the same name elsewhere", annotated("true", "123", of(role)), false},
		} {
			tried++
			got, _, err := program.Eval(map[string]any{"object": test.object})
			if err != nil || got.Value() != test.want {
				t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
			}
		}
		// A service account whose name the API server makes up later has none yet:
		// an error, which failurePolicy Fail refuses.
		nameless := annotated("123", "", of(role))
		delete(nameless["metadata"].(map[string]any), "name")
		if got, _, err := program.Eval(map[string]any{"object": nameless}); err == nil {
			t.Errorf("without a name: %v", got)
		}
		// And the message says who may.
		if want := "only the service account 123/true may use the role " + role; policy.Spec.Validations[0].Message != want {
			t.Errorf("message %q, want %q", policy.Spec.Validations[0].Message, want)
		}
	}
	if tried != 7 {
		t.Errorf("%d cases were tried, want those of one role", tried)
	}
}

// Kubectl reads the manifests as Kubernetes reads YAML, without a cluster. There
// is none here that could apply them.
func TestKubectlReadsTheManifests(t *testing.T) {
	kubectl := testenv.Tool(t, "kubectl")
	for i, file := range manifests(t) {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(path, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), kubectl, "label", "--local", "--filename", path, "--output", "json", "checked=yes")
		command.Env = []string{"KUBECONFIG=" + filepath.Join(t.TempDir(), "none"), "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", file.Path, err)
		}
		objects := json.NewDecoder(bytes.NewReader(out))
		read := 0
		for {
			var object struct {
				Kind     string
				Metadata struct {
					Name, Namespace string // a number or a truth value here is an error
					Annotations     map[string]string
				}
			}
			if err := objects.Decode(&object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", file.Path, err, out)
			}
			read++
		}
		if want := bytes.Count(file.Data, []byte("\nkind: ")); read != want {
			t.Errorf("%s: kubectl read %d objects of %d:\n%s", file.Path, read, want, out)
		}
	}
}
