package policies

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// terraformAttachments lists the types of Terraform resources that carry
// policies, with where. An attribute of a block is written "block/*/attribute".
//
// https://registry.terraform.io/providers/hashicorp/aws/latest/docs
var terraformAttachments = map[string][]attachment{
	"aws_iam_role":         {{path: "assume_role_policy", kind: iam.KindTrust, on: "arn"}, embedded("inline_policy/*/policy")},
	"aws_iam_role_policy":  {embedded("policy")},
	"aws_iam_user_policy":  {embedded("policy")},
	"aws_iam_group_policy": {embedded("policy")},
	"aws_iam_policy":       {{path: "policy", kind: iam.KindIdentity}},

	"aws_ssoadmin_permission_set_inline_policy": {embedded("inline_policy")},
	"aws_vpc_endpoint":                          {{path: "policy", kind: iam.KindEndpoint}},
	"aws_vpc_endpoint_policy":                   {{path: "policy", kind: iam.KindEndpoint}},
	"aws_organizations_resource_policy":         onResource("organizations", "content", ""),
	"aws_transfer_user":                         {{path: "policy", kind: iam.KindSession}},
	"aws_eks_pod_identity_association":          {{path: "policy", kind: iam.KindSession}},

	"aws_s3_bucket":                                  onResource("s3", "policy", "arn"),
	"aws_s3_bucket_policy":                           onResource("s3", "policy", "bucket"),
	"aws_s3_access_point":                            onResource("s3", "policy", ""),
	"aws_s3control_access_point_policy":              onResource("s3", "policy", ""),
	"aws_s3_directory_bucket_policy":                 onResource("s3express", "policy", ""),
	"aws_s3tables_table_bucket_policy":               onResource("s3tables", "resource_policy", "table_bucket_arn"),
	"aws_s3tables_table_policy":                      onResource("s3tables", "resource_policy", ""),
	"aws_sqs_queue":                                  onResource("sqs", "policy", "arn"),
	"aws_sqs_queue_policy":                           onResource("sqs", "policy", ""),
	"aws_sns_topic":                                  onResource("sns", "policy", "arn"),
	"aws_sns_topic_policy":                           onResource("sns", "policy", "arn"),
	"aws_kms_key":                                    onResource("kms", "policy", "arn"),
	"aws_kms_key_policy":                             onResource("kms", "policy", ""),
	"aws_kms_replica_key":                            onResource("kms", "policy", "arn"),
	"aws_kms_external_key":                           onResource("kms", "policy", "arn"),
	"aws_secretsmanager_secret":                      onResource("secretsmanager", "policy", "arn"),
	"aws_secretsmanager_secret_policy":               onResource("secretsmanager", "policy", "secret_arn"),
	"aws_ssm_resource_policy":                        onResource("ssm", "policy", "resource_arn"),
	"aws_ecr_repository_policy":                      onResource("ecr", "policy", ""),
	"aws_ecr_registry_policy":                        registry("policy"),
	"aws_ecrpublic_repository_policy":                onResource("ecr-public", "policy", ""),
	"aws_kinesis_resource_policy":                    onResource("kinesis", "policy", "resource_arn"),
	"aws_dynamodb_resource_policy":                   onResource("dynamodb", "policy", "resource_arn"),
	"aws_api_gateway_rest_api":                       onResource("execute-api", "policy", ""),
	"aws_api_gateway_rest_api_policy":                onResource("execute-api", "policy", ""),
	"aws_api_gateway_domain_name":                    onResource("execute-api", "policy", ""),
	"aws_cloudwatch_event_bus_policy":                onResource("events", "policy", ""),
	"aws_backup_vault_policy":                        onResource("backup", "policy", ""),
	"aws_glacier_vault":                              onResource("glacier", "access_policy", "arn"),
	"aws_glacier_vault_lock":                         onResource("glacier", "policy", ""),
	"aws_efs_file_system_policy":                     onResource("elasticfilesystem", "policy", ""),
	"aws_codeartifact_domain_permissions_policy":     onResource("codeartifact", "policy_document", ""),
	"aws_codeartifact_repository_permissions_policy": onResource("codeartifact", "policy_document", ""),
	"aws_opensearch_domain":                          onResource("es", "access_policies", ""),
	"aws_opensearch_domain_policy":                   onResource("es", "access_policies", ""),
	"aws_elasticsearch_domain":                       onResource("es", "access_policies", ""),
	"aws_elasticsearch_domain_policy":                onResource("es", "access_policies", ""),
	"aws_msk_cluster_policy":                         onResource("kafka", "policy", "cluster_arn"),
	"aws_media_store_container_policy":               onResource("mediastore", "policy", ""),
	"aws_cloudwatch_log_resource_policy":             onResource("logs", "policy_document", ""),
	"aws_cloudwatch_log_destination_policy":          onResource("logs", "access_policy", ""),
	"aws_cloudwatch_log_delivery_destination_policy": onResource("logs", "delivery_destination_policy", ""),
	"aws_xray_resource_policy":                       onResource("xray", "policy_document", ""),
	"aws_vpclattice_auth_policy":                     onResource("vpc-lattice-svcs", "policy", ""),
	"aws_vpclattice_resource_policy":                 onResource("vpc-lattice", "policy", "resource_arn"),
	"aws_redshift_resource_policy":                   onResource("redshift", "policy", "resource_arn"),
	"aws_redshiftserverless_resource_policy":         onResource("redshift-serverless", "policy", "resource_arn"),
	"aws_oam_sink_policy":                            onResource("oam", "policy", "sink_identifier"),
	"aws_prometheus_resource_policy":                 onResource("aps", "policy_document", ""),
	"aws_glue_resource_policy":                       onResource("glue", "policy", ""),
	"aws_codebuild_resource_policy":                  onResource("codebuild", "policy", "resource_arn"),
	"aws_acmpca_policy":                              onResource("acm-pca", "policy", "resource_arn"),
	"aws_sagemaker_model_package_group_policy":       onResource("sagemaker", "resource_policy", ""),
	"aws_ses_identity_policy":                        onResource("ses", "policy", ""),
	"aws_sesv2_email_identity_policy":                onResource("ses", "policy", ""),
	"aws_schemas_registry_policy":                    onResource("schemas", "policy", ""),
	"aws_cloudsearch_domain_service_access_policy":   onResource("cloudsearch", "access_policy", ""),
}

// terraformPlan finds the policies in what `terraform show -json` prints of a
// plan or a state, and in a state file.
//
// https://developer.hashicorp.com/terraform/internals/json-format
func (f *finder) terraformPlan(root *cfn.Node) {
	unknown := make(map[string]*cfn.Node) // what is known after apply, by address
	for _, change := range items(root.Get("resource_changes")) {
		if after := change.Get("change").Get("after_unknown"); after != nil && change.Get("address") != nil {
			unknown[change.Get("address").Text] = after
		}
	}
	if configuration := root.Get("configuration").Get("root_module"); configuration != nil {
		f.written = make(map[string]*cfn.Node)
		f.configured(configuration, "", 0)
	}
	for _, values := range []*cfn.Node{root.Get("planned_values"), root.Get("values")} {
		f.terraformModule(values.Get("root_module"), unknown, 0)
	}
	for _, r := range items(root.Get("resources")) { // of a state file
		for _, instance := range items(r.Get("instances")) {
			address := textOf(r.Get("type")) + "." + textOf(r.Get("name"))
			if module := textOf(r.Get("module")); module != "" {
				address = module + "." + address
			}
			if key := instance.Get("index_key"); key != nil {
				address += "[" + key.Text + "]"
			}
			f.terraformResource(textOf(r.Get("mode")), textOf(r.Get("type")), address, instance.Get("attributes"), nil)
		}
	}
}

// configured collects what the configuration says about each resource, by
// address without indices.
func (f *finder) configured(module *cfn.Node, prefix string, depth int) {
	if module == nil || depth > 50 {
		return
	}
	for _, r := range items(module.Get("resources")) {
		f.written[prefix+textOf(r.Get("address"))] = r.Get("expressions")
	}
	for _, call := range entries(module.Get("module_calls")) {
		f.configured(call.Value.Get("module"), prefix+"module."+call.Key+".", depth+1)
	}
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// isWritten reports whether the configuration gives an attribute a value. If it
// does not, the provider fills it in, as with the policy of a bucket.
func (f *finder) isWritten(address, attribute string) bool {
	expressions, known := f.written[index.ReplaceAllString(address, "")]
	return !known || expressions.Get(attribute) != nil
}

func textOf(n *cfn.Node) string {
	if n == nil {
		return ""
	}
	return n.Text
}

func (f *finder) terraformModule(module *cfn.Node, unknown map[string]*cfn.Node, depth int) {
	if module == nil || depth > 50 {
		return
	}
	for _, r := range items(module.Get("resources")) {
		address := textOf(r.Get("address"))
		f.terraformResource(textOf(r.Get("mode")), textOf(r.Get("type")), address, r.Get("values"), unknown[address])
	}
	for _, child := range items(module.Get("child_modules")) {
		f.terraformModule(child, unknown, depth+1)
	}
}

// terraformResource adds the policies of one resource with known values.
// Documents of the data source aws_iam_policy_document are judged where they are
// used, as only that shows what they are.
func (f *finder) terraformResource(mode, typ, address string, values, unknown *cfn.Node) {
	if mode == "data" || values == nil {
		return
	}
	p := place{where: address}
	known, ok := terraformAttachments[typ]
	if ok && values.Kind == cfn.NodeMap {
		for _, a := range known {
			p.kind, p.service, p.inline, p.except, p.resource = a.kind, a.service, a.inline, a.except, ""
			if a.on != "" {
				p.resource = f.terraformAttachedTo(typ, values.Get(a.on))
			}
			path := strings.Split(a.path, "/")
			if f.isWritten(address, path[0]) {
				f.terraformFollow(values, unknown, path, p)
			}
		}
	}
	switch typ {
	case "aws_organizations_policy":
		f.terraformOrganizationPolicy(values, unknown, p)
	case "aws_lambda_permission":
		f.terraformPermission(values, unknown, p)
	case "aws_sfn_state_machine":
		f.terraformStateMachine(values, unknown, p)
	}
}

func (f *finder) terraformAttachedTo(typ string, n *cfn.Node) string {
	s := textOf(n)
	switch {
	case strings.HasPrefix(s, "arn:"):
		return s
	case typ == "aws_s3_bucket_policy" && s != "" && !strings.Contains(s, "${"):
		return arn("s3:::N", s)
	}
	return ""
}

// terraformFollow walks along the path of an attribute.
func (f *finder) terraformFollow(n, unknown *cfn.Node, path []string, p place) {
	if len(path) == 0 {
		f.terraformPolicy(n, unknown, p)
		return
	}
	if path[0] != "*" {
		f.terraformFollow(n.Get(path[0]), unknown.Get(path[0]), path[1:], p)
		return
	}
	if n == nil && isTrue(unknown) {
		f.terraformPolicy(nil, unknown, p)
		return
	}
	blocks := items(n)
	if n != nil && n.Kind == cfn.NodeMap { // a single block, in configuration
		blocks = []*cfn.Node{n}
	}
	for i, item := range blocks {
		var u *cfn.Node
		if list := items(unknown); i < len(list) {
			u = list[i]
		}
		f.terraformFollow(item, u, path[1:], p)
	}
}

func isTrue(n *cfn.Node) bool { return n != nil && n.Kind == cfn.NodeBool && n.Text == "true" }

// terraformPolicy adds the policy in an attribute.
func (f *finder) terraformPolicy(n, unknown *cfn.Node, p place) {
	switch {
	case isTrue(unknown):
		at := iam.Position{Line: 1, Column: 1}
		if unknown.Position.Line > 0 {
			at = unknown.Position
		}
		f.unread(p.where, at, "the policy is known only after apply")
	case n == nil || n.Kind == cfn.NodeNull || n.Kind == cfn.NodeText && strings.TrimSpace(n.Text) == "":
	case n.Kind == cfn.NodeText:
		f.add(f.opened(n), p)
	}
}

func (f *finder) terraformOrganizationPolicy(values, unknown *cfn.Node, p place) {
	switch textOf(values.Get("type")) {
	case "SERVICE_CONTROL_POLICY", "":
		p.kind = iam.KindServiceControl
	case "RESOURCE_CONTROL_POLICY":
		p.kind = iam.KindResourceControl
	default:
		return
	}
	f.terraformPolicy(values.Get("content"), unknown.Get("content"), p)
}

// terraformPermission reads a Lambda permission by the names of CloudFormation.
func (f *finder) terraformPermission(values, unknown *cfn.Node, p place) {
	names := map[string]string{
		"action": "Action", "principal": "Principal", "function_name": "FunctionName", "source_arn": "SourceArn",
		"source_account": "SourceAccount", "principal_org_id": "PrincipalOrgID", "function_url_auth_type": "FunctionUrlAuthType",
		"event_source_token": "EventSourceToken",
	}
	properties := &cfn.Node{Kind: cfn.NodeMap, Position: values.Position}
	for _, e := range entries(values) {
		if name, ok := names[e.Key]; ok && e.Value.Kind == cfn.NodeText {
			properties.Entries = append(properties.Entries, cfn.Entry{Key: name, KeyPosition: e.KeyPosition, Value: f.opened(e.Value)})
		}
	}
	for _, e := range entries(unknown) { // known after apply
		if name, ok := names[e.Key]; ok && isTrue(e.Value) {
			at := values.Position
			properties.Entries = append(properties.Entries, cfn.Entry{Key: name, KeyPosition: at, Value: object(at, "Ref", text(e.Key, at))})
		}
	}
	slices.SortFunc(properties.Entries, func(a, b cfn.Entry) int { return strings.Compare(a.Key, b.Key) })
	f.permission(&resource{name: p.where, properties: properties, node: values}, p)
}

func (f *finder) terraformStateMachine(values, unknown *cfn.Node, p place) {
	n := values.Get("definition")
	if n == nil || n.Kind != cfn.NodeText {
		if isTrue(unknown.Get("definition")) {
			f.unread(p.where, values.Position, "the definition of the state machine is known only after apply")
		}
		return
	}
	r := &resolver{source: f.source, template: f.template}
	pieces := r.pieces(f.opened(n))
	v, err := iam.ReadValue([]byte(joined(pieces)))
	if err != nil {
		f.unread(p.where, n.Position, "the definition of the state machine is not JSON before apply")
		return
	}
	f.source.moved(&v, pieces)
	f.stateMachine(node(v), stateMachineOf{where: p.where})
}
