package grant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A KubernetesFile is a manifest for a cluster: the service account with its
// role, and a policy that keeps other service accounts from naming the role.
type KubernetesFile struct {
	Cluster string `json:"cluster"` // in the manifest
	Path    string `json:"path"`
	Data    []byte `json:"-"`
}

// kubernetesFiles makes the files of the roles that pods use, one for each role
// and cluster. A service account has one role in a cluster: the annotation holds
// one, and EKS accepts one association.
func (b *builder) kubernetesFiles() []KubernetesFile {
	var files []KubernetesFile
	paths, accounts := map[string]bool{}, map[string]*roleUnit{}
	for _, key := range b.roleOrder {
		r := b.roles[key]
		if r.pods == nil {
			continue
		}
		for i := range r.pods.clusters {
			c := &r.pods.clusters[i]
			account := c.key + "/" + r.pods.Namespace + "/" + r.pods.Name
			if other := accounts[account]; other != nil {
				b.report(b.m.problem(RuleCollision, r.path, "give each role a service account of its own", "the service account %s/%s of the cluster %q can have one role, not both %s and %s", r.pods.Namespace, r.pods.Name, c.key, other.arn, r.arn))
				continue
			}
			accounts[account] = r
			path := r.site.Account + "/kubernetes/" + c.key + "-" + slug(r.name)
			if paths[strings.ToLower(path)] {
				path += "-" + hash(r.arn)[:8]
			}
			paths[strings.ToLower(path)] = true
			files = append(files, KubernetesFile{Cluster: c.key, Path: path + ".yaml", Data: kubernetes(r)})
		}
	}
	return files
}

// Objects of Kubernetes, with the fields that are used here.
//
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
type (
	kubernetesObject struct {
		APIVersion string             `yaml:"apiVersion"`
		Kind       string             `yaml:"kind"`
		Metadata   kubernetesMetadata `yaml:"metadata"`
		Spec       any                `yaml:"spec,omitempty"`
	}
	kubernetesMetadata struct {
		Name        string                 `yaml:"name"`
		Namespace   string                 `yaml:"namespace,omitempty"`
		Annotations *kubernetesAnnotations `yaml:"annotations,omitempty"`
	}
	kubernetesAnnotations struct {
		RoleARN  string `yaml:"eks.amazonaws.com/role-arn"`
		Audience string `yaml:"eks.amazonaws.com/audience"`
	}
	admissionPolicy struct {
		FailurePolicy    string `yaml:"failurePolicy"`
		MatchConstraints struct {
			ResourceRules []admissionRule `yaml:"resourceRules"`
		} `yaml:"matchConstraints"`
		Validations []admissionValidation `yaml:"validations"`
	}
	admissionRule struct {
		APIGroups   []string `yaml:"apiGroups,flow"`
		APIVersions []string `yaml:"apiVersions,flow"`
		Operations  []string `yaml:"operations,flow"`
		Resources   []string `yaml:"resources,flow"`
	}
	admissionValidation struct {
		Expression string `yaml:"expression"`
		Message    string `yaml:"message"`
	}
	admissionBinding struct {
		PolicyName        string   `yaml:"policyName"`
		ValidationActions []string `yaml:"validationActions,flow"`
	}
)

const admissionVersion = "admissionregistration.k8s.io/v1"

// kubernetes writes the manifests. With IRSA whoever may write annotations of
// service accounts could name any role; the trust policy refuses the others, and
// the admission policy says so at once.
func kubernetes(r *roleUnit) []byte {
	p := r.pods
	account := kubernetesObject{APIVersion: "v1", Kind: "ServiceAccount", Metadata: kubernetesMetadata{Name: p.Name, Namespace: p.Namespace}}
	if p.podIdentity() {
		return writeKubernetes(account)
	}
	account.Metadata.Annotations = &kubernetesAnnotations{RoleARN: r.arn, Audience: audience}

	// The hash tells roles apart that differ in account, path or punctuation: a
	// cluster may serve several, and has one policy of a name.
	name := strings.ToLower("crossaccount-" + slug(r.name) + "-" + hash(r.arn)[:8])
	policy := admissionPolicy{FailurePolicy: "Fail"}
	policy.MatchConstraints.ResourceRules = []admissionRule{{[]string{""}, []string{"v1"}, []string{"CREATE", "UPDATE"}, []string{"serviceaccounts"}}}
	policy.Validations = []admissionValidation{{
		Expression: "!has(object.metadata.annotations) ||\n" +
			"!('eks.amazonaws.com/role-arn' in object.metadata.annotations) ||\n" +
			"object.metadata.annotations['eks.amazonaws.com/role-arn'] != " + celText(r.arn) + " ||\n" +
			"object.metadata.namespace == " + celText(p.Namespace) + " && object.metadata.name == " + celText(p.Name) + "\n",
		Message: fmt.Sprintf("only the service account %s/%s may use the role %s", p.Namespace, p.Name, r.arn),
	}}
	return writeKubernetes(account,
		kubernetesObject{APIVersion: admissionVersion, Kind: "ValidatingAdmissionPolicy", Metadata: kubernetesMetadata{Name: name}, Spec: policy},
		kubernetesObject{APIVersion: admissionVersion, Kind: "ValidatingAdmissionPolicyBinding", Metadata: kubernetesMetadata{Name: name}, Spec: admissionBinding{name, []string{"Deny"}}},
	)
}

// celText is a text in the language of admission policies, which takes texts as
// JSON writes them.
//
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values
func celText(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(fmt.Sprintf("grant: %v", err)) // texts always marshal
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func writeKubernetes(objects ...kubernetesObject) []byte {
	var b bytes.Buffer
	e, err := yaml.NewDumper(&b, yaml.WithIndent(2))
	for _, o := range objects {
		if err == nil {
			err = e.Dump(o)
		}
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("grant: %v", err)) // texts and lists always marshal
	}
	return b.Bytes()
}
