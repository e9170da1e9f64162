package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// Add merges what a command of the aws CLI printed as JSON into the snapshot. It
// recognises the output by its fields; docs/world.md lists the commands. The
// subject is what the command was asked about, for outputs that do not say it:
// the ARN of the resource for a resource policy, the id of the target for
// list-policies-for-target, and the id of the parent for
// list-accounts-for-parent and list-organizational-units-for-parent. It may
// also be given for outputs that name their subject, which then must agree.
//
// A resource policy may also be the bare document. For resources whose ARN has
// no account, owner names it; it is not used otherwise.
//
// Adding the same output again changes nothing. If there is an error, nothing
// was changed.
func (s *Snapshot) Add(output []byte, subject string, owner iam.AccountID) error {
	fields, err := outputFields(output)
	if err != nil {
		return err
	}
	part := &Snapshot{Format: Format}
	o := outputReader{into: s, part: part, fields: fields, output: output, subject: subject, owner: owner}
	if err := o.read(); err != nil {
		return err
	}
	if err := part.Check(); err != nil {
		return fmt.Errorf("the output cannot be part of a world: %w", err)
	}
	merged := s.clone()
	merged.Merge(part)
	if err := merged.Check(); err != nil {
		return fmt.Errorf("the output does not fit the world: %w", err)
	}
	*s = *merged
	return nil
}

func outputFields(output []byte) (map[string]json.RawMessage, error) {
	// Other tools' output has fields this package does not know and need not.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(output, &fields); err != nil {
		return nil, fmt.Errorf("the output is no JSON object: %w; call aws with --output json", err)
	}
	return fields, nil
}

// An outputReader reads one output into part.
type outputReader struct {
	into    *Snapshot
	part    *Snapshot
	fields  map[string]json.RawMessage
	output  []byte
	subject string
	owner   iam.AccountID
}

func (o *outputReader) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { _, ok := o.fields[name]; return !ok })
}

// text returns a field that is a string.
func (o *outputReader) text(name string) string {
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil {
		return ""
	}
	return s
}

func (o *outputReader) read() error {
	switch {
	case o.has("RoleDetailList"), o.has("UserDetailList"), o.has("GroupDetailList"):
		return o.accountDetails()
	case o.has("Statement"): // a bare document
		return o.resourcePolicy("", string(o.output))
	case o.has("Attributes"): // sqs get-queue-attributes, sns get-topic-attributes
		return o.attributes()
	case o.has("ResourcePolicy"): // secretsmanager get-resource-policy
		return o.resourcePolicy(o.text("ARN"), o.text("ResourcePolicy"))
	case o.has("policyText"): // ecr get-repository-policy
		return o.repositoryPolicy()
	case o.has("policy"): // logs, codeartifact, events: a document, or an object that has one
		return o.lowerCasePolicy()
	case o.has("Policy") && bytes.HasPrefix(bytes.TrimSpace(o.fields["Policy"]), []byte(`"`)):
		// s3api get-bucket-policy, kms get-key-policy, lambda get-policy,
		// dynamodb and kinesis get-resource-policy, efs describe-file-system-policy
		return o.resourcePolicy("", o.text("Policy"))
	case o.has("Policy"):
		return o.controlPolicy()
	case o.has("Policies"):
		return o.attachedControlPolicies()
	case o.has("Organization"), o.has("Roots"), o.has("OrganizationalUnits"), o.has("Accounts"):
		return o.organization()
	case o.has("VpcEndpoints"):
		return o.endpoints()
	case o.has("TagSet"), o.has("Tags"):
		return o.resourceTags()
	}
	return fmt.Errorf("the output is of no command this version reads: it has the fields %s; docs/world.md lists the commands", strings.Join(sortedKeys(o.fields), ", "))
}

func sortedKeys(m map[string]json.RawMessage) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// theSubject returns the ARN of the resource an output is about.
func (o *outputReader) theSubject(named string) (string, error) {
	switch {
	case named != "" && o.subject != "" && named != o.subject:
		return "", fmt.Errorf("the output is about %s, not about %s", named, o.subject)
	case named != "":
		return named, nil
	case o.subject == "":
		return "", fmt.Errorf("the output does not say which resource it is about; name its ARN")
	}
	return o.subject, nil
}

// resourcePolicy adds the policy of a resource, or the trust policy of a role
// that is already known.
func (o *outputReader) resourcePolicy(named, text string) error {
	arn, err := o.theSubject(named)
	if err != nil {
		return err
	}
	r := o.resource(arn)
	if text != "" { // without a policy, some commands answer with an empty string
		d, err := parseOutputDocument(text)
		if err != nil {
			return fmt.Errorf("the policy of %s: %w", arn, err)
		}
		r.Policy = &d
	}
	o.part.Resources = append(o.part.Resources, r)
	return nil
}

// resource begins a resource, with its owner if the ARN does not say it.
func (o *outputReader) resource(arn string) Resource {
	r := Resource{ARN: arn}
	if accountOf(arn) != "" {
		return r
	}
	r.Account = o.owner
	for i := range o.into.Resources {
		if known := &o.into.Resources[i]; r.Account == "" && known.ARN == arn {
			r.Account = known.Account
		}
	}
	return r
}

// parseOutputDocument reads a document that may be URL-encoded, as the IAM API
// returns it.
func parseOutputDocument(text string) (Document, error) {
	if trimmed := strings.TrimSpace(text); !strings.HasPrefix(trimmed, "{") && strings.HasPrefix(strings.ToUpper(trimmed), "%7B") {
		decoded, err := url.PathUnescape(trimmed)
		if err != nil {
			return Document{}, fmt.Errorf("the policy is neither JSON nor URL-encoded: %w", err)
		}
		text = decoded
	}
	return ParseDocument([]byte(text))
}

// attributes reads sqs get-queue-attributes and sns get-topic-attributes.
func (o *outputReader) attributes() error {
	var attributes struct{ Policy, QueueArn, TopicArn, KmsMasterKeyId string }
	if err := json.Unmarshal(o.fields["Attributes"], &attributes); err != nil {
		return fmt.Errorf("Attributes: %w", err)
	}
	if err := o.resourcePolicy(attributes.QueueArn+attributes.TopicArn, attributes.Policy); err != nil {
		return err
	}
	if key := attributes.KmsMasterKeyId; strings.HasPrefix(key, "arn:") && strings.Contains(key, ":key/") {
		o.part.Resources[0].KMSKey = key
	}
	return nil
}

// repositoryPolicy reads ecr get-repository-policy, which names the registry and
// the repository but not the region.
func (o *outputReader) repositoryPolicy() error {
	arn, err := o.theSubject("")
	if err != nil {
		return err
	}
	if name := o.text("repositoryName"); name != "" && !strings.HasSuffix(arn, ":repository/"+name) {
		return fmt.Errorf("the output is about the repository %s, not about %s", name, arn)
	}
	return o.resourcePolicy("", o.text("policyText"))
}

// lowerCasePolicy reads outputs whose field is called policy: a document as a
// string, or an object with the document and the resource.
func (o *outputReader) lowerCasePolicy() error {
	if s := o.text("policy"); s != "" {
		return o.resourcePolicy(o.text("resourceArn"), s)
	}
	var nested struct {
		ResourceArn string `json:"resourceArn"`
		Document    string `json:"document"`
	}
	if err := json.Unmarshal(o.fields["policy"], &nested); err != nil || nested.Document == "" {
		return fmt.Errorf("policy: is neither a document nor an object that has one")
	}
	return o.resourcePolicy("", nested.Document)
}

// resourceTags reads s3api get-bucket-tagging, list-tags-of-resource and the
// like: a list of keys and values.
func (o *outputReader) resourceTags() error {
	raw := o.fields["TagSet"]
	if raw == nil {
		raw = o.fields["Tags"]
	}
	tags, err := parseTags(raw)
	if err != nil {
		return err
	}
	arn, err := o.theSubject("")
	if err != nil {
		return err
	}
	r := o.resource(arn)
	r.Tags = tags
	o.part.Resources = append(o.part.Resources, r)
	return nil
}

// parseTags reads tags written as a list of keys and values or as an object.
func parseTags(raw json.RawMessage) (map[string]string, error) {
	tags := make(map[string]string)
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		if err := json.Unmarshal(raw, &tags); err != nil {
			return nil, fmt.Errorf("Tags: %w", err)
		}
		return tags, nil
	}
	var list []struct{ Key, Value, TagKey, TagValue string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("Tags: %w", err)
	}
	for _, t := range list {
		key, value := t.Key+t.TagKey, t.Value+t.TagValue
		if _, twice := tags[key]; twice {
			return nil, fmt.Errorf("Tags: the key %q is there twice", key)
		}
		tags[key] = value
	}
	return tags, nil
}

// endpoints reads ec2 describe-vpc-endpoints.
func (o *outputReader) endpoints() error {
	var list []struct{ VpcEndpointId, VpcId, OwnerId, PolicyDocument string }
	if err := json.Unmarshal(o.fields["VpcEndpoints"], &list); err != nil {
		return fmt.Errorf("VpcEndpoints: %w", err)
	}
	for _, x := range list {
		e := Endpoint{ID: x.VpcEndpointId, VPC: x.VpcId, Account: iam.AccountID(x.OwnerId)}
		if x.PolicyDocument != "" {
			d, err := parseOutputDocument(x.PolicyDocument)
			if err != nil {
				return fmt.Errorf("the policy of %s: %w", x.VpcEndpointId, err)
			}
			e.Policy = &d
		}
		o.part.Endpoints = append(o.part.Endpoints, e)
	}
	return nil
}
