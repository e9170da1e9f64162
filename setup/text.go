package setup

import (
	"fmt"
	"html"
	"html/template"
	"strings"
)

// english has every text of the pages except the messages of errors and the
// details of steps, which come from the root package. %s are names that the
// page fills in; what stands between backticks is shown as code.
var english = map[string]string{
	"page.title":       "Connect AWS to %s",
	"page.description": "Give %s access to your AWS account, and see exactly what it is.",
	"page.skip":        "Skip to the content",
	"page.new_tab":     "(opens in a new tab)",
	"page.support":     "Support",
	"page.failed":      "The service did not answer as expected. Try again.",
	"page.privacy":     "Privacy",
	"page.footer":      "%s never sees your AWS password or keys.",

	"progress.label":   "Progress",
	"progress.launch":  "Launch",
	"progress.confirm": "Confirm",
	"progress.done":    "Verified",
	"progress.past":    "done:",
	"progress.current": "current step:",

	// Headings and first words, by the integration's state.
	"state.heading":              "Connect your AWS account",
	"state.lead":                 "%s works in your account through a role that you create and can delete at any time. It takes about three minutes.",
	"state.pending.heading":      "Create the role in AWS",
	"state.pending.lead":         "The AWS console opens with everything filled in. You come back here with one value.",
	"state.verifying.heading":    "Checking the role",
	"state.verifying.lead":       "We try what must work, and above all what must not. Nothing in your account is changed.",
	"state.active.heading":       "Your account is connected",
	"state.active.lead":          "The role was checked, and %s uses it from now on.",
	"state.degraded.heading":     "The connection needs attention",
	"state.degraded.lead":        "The last check of the role failed.",
	"state.rejected.heading":     "This role cannot be used",
	"state.rejected.lead":        "Nothing was connected. Most of the time this is mended in a minute.",
	"state.expired.heading":      "The launch link has expired",
	"state.expired.lead":         "The role was not confirmed in time. Begin again; your external ID stays the same.",
	"state.disconnected.heading": "The account is disconnected",
	"state.disconnected.lead":    "We were told that the stack is gone. If it still exists, check the role again.",
	"state.revoked.heading":      "The connection was ended",
	"state.revoked.lead":         "%s no longer uses the role. If the stack still exists in your account, you can delete it.",

	"start.heading":       "Get your launch link",
	"start.customer_id":   "Customer id",
	"start.customer_name": "Name",
	"start.region":        "AWS Region of the stack",
	"start.region_hint":   "Roles work in every Region. This only decides where the stack is listed.",
	"start.step1":         "You create one stack in AWS, with everything filled in.",
	"start.step2":         "You paste one value here.",
	"start.step3":         "You watch us check the role: what must work, and what must not.",
	"start.button":        "Continue",
	"start.again":         "Get a new launch link",
	"start.note":          "Nothing is created yet. You need to be able to create IAM roles in the account.",

	"launch.heading":      "Create the stack",
	"launch.step1":        "Open the AWS console in the account you want to connect. Leave the values as they are.",
	"launch.step2":        "Confirm at the bottom that the stack may create IAM resources, and choose `Create stack`.",
	"launch.step3":        "Wait for `CREATE_COMPLETE`, open the tab `Outputs` and copy the value of `RoleArn`.",
	"launch.button":       "Launch stack in AWS",
	"launch.none":         "The launch link cannot be prepared at the moment. The ways below work.",
	"launch.values":       "What the link fills in",
	"launch.stack":        "Stack",
	"launch.region":       "Region",
	"launch.external_id":  "External ID",
	"launch.role":         "Role",
	"launch.sha":          "SHA-256 of the template",
	"launch.why_id":       "The external ID belongs to you alone. The role answers only to callers that know it, so nobody else can use %s to reach your account.",
	"launch.template":     "Read the template first",
	"launch.other":        "Use Terraform or the AWS CLI instead",
	"launch.terraform":    "Terraform",
	"launch.terraform_do": "Put the file into a new directory or module and give it the two values, which are the parameters of the link.",
	"launch.terraform_at": "Download the Terraform file",
	"launch.cli":          "AWS CLI",
	"launch.cli_do":       "A shell script that creates the same role without CloudFormation. It can be read first, run twice, and undone with `remove`.",
	"launch.cli_at":       "Download the script",
	"launch.prints":       "Both end with the role's ARN.",
	"launch.copy":         "Copy",
	"launch.copied":       "Copied",
	"launch.again":        "Show the launch link again",

	"complete.heading": "Confirm the role",
	"complete.label":   "Role ARN",
	"complete.hint":    "The value of `RoleArn` in the stack's outputs.",
	"complete.button":  "Verify connection",
	"complete.other":   "Use another role",

	"live.heading":   "Live verification",
	"live.count":     "%s of %s checks passed",
	"live.waiting":   "AWS needs up to a few minutes until a new role works. We keep trying; you can leave this page and come back.",
	"live.paused":    "This verification does not run at the moment. Continue it where it stopped.",
	"live.continue":  "Continue",
	"live.no_script": "The page reloads by itself.",
	"live.reload":    "Reload now",

	"report.heading": "What was checked",
	"report.show":    "Show all checks",
	"report.refuse":  "must be refused",

	"done.facts":         "The connection",
	"done.account":       "AWS account",
	"done.role":          "Role",
	"done.stack":         "Stack",
	"done.checked":       "Last checked",
	"done.setup_heading": "Remove the setup permissions",
	"done.setup_why":     "%s needed more rights to set itself up than it needs from now on. When setup is finished, take them away.",
	"done.setup1":        "Open the stack and choose `Update`, then the existing template.",
	"done.setup2":        "Set `SetupPhase` to `false` and keep all other values.",
	"done.setup3":        "Confirm that IAM resources may change, update, and check here.",
	"done.setup_cli":     "The same with the AWS CLI",
	"done.setup_gone":    "The setup permissions are removed.",
	"done.open_stack":    "Open the stack in AWS",
	"done.check":         "Check the role again",
	"done.end":           "End the access",
	"done.end_how":       "Delete the stack. The role is then gone and %s can do nothing in your account any more. You need nobody's consent, and nothing else was installed.",
	"done.end_stack":     "In the AWS console, select the stack and choose `Delete`, or run:",
	"done.end_other":     "If you used Terraform, run `terraform destroy`; if you used the script, run it with `remove`.",
	"done.another":       "Connect another AWS account",

	"accounts.heading": "Your other accounts",
	"accounts.unknown": "not known yet",

	"checks.heading":           "Permissions of the role",
	"checks.state.present":     "granted",
	"checks.state.missing":     "missing",
	"checks.state.removed":     "removed",
	"checks.state.not_checked": "not checked",

	"state.name.pending":      "waiting for the role",
	"state.name.verifying":    "being verified",
	"state.name.active":       "connected",
	"state.name.degraded":     "needs attention",
	"state.name.rejected":     "role refused",
	"state.name.expired":      "link expired",
	"state.name.disconnected": "disconnected",
	"state.name.revoked":      "ended",

	"result.passed":       "passed",
	"result.failed":       "failed",
	"result.inconclusive": "not clear yet",
	"result.skipped":      "skipped",
	"result.running":      "in progress",
	"result.waiting":      "not yet checked",

	// What a step expects, by its name.
	"step.role":            "The ARN names a role in your account",
	"step.owner":           "Nobody else uses the role",
	"step.account":         "The role is in the right account",
	"step.assume":          "We can use the role with your external ID",
	"step.identity":        "AWS confirms that it is this role",
	"step.control":         "Our test caller works, so its refusals mean something",
	"step.missing":         "A caller without an external ID",
	"step.wrong":           "A caller with another external ID",
	"step.case_flipped":    "A caller with your external ID in the other letter case",
	"step.assume_again":    "With your external ID, the same caller is let in",
	"step.source_identity": "Your CloudTrail can name who acts",
	"step.session_tags":    "Sessions can carry tags",
	"step.self_inspection": "The role can show us its own policies",
	"step.trust_policy":    "The trust policy has no other way in",

	"grants.heading":               "What %s can do",
	"grants.none":                  "Nothing: the role has no permissions.",
	"grants.most.read":             "It can look, and changes nothing.",
	"grants.most.write":            "It can make changes, only as listed here.",
	"grants.most.permissions":      "It can change permissions. Read the list with care.",
	"grants.ongoing":               "As long as the role exists",
	"grants.setup":                 "Only during setup",
	"grants.setup_more":            "During setup it can do more.",
	"grants.setup_hint":            "You remove these afterwards with one update of the stack.",
	"grants.policy":                "Show the policy",
	"grants.trust":                 "Only AWS account `%s` can use the role, and only together with your external ID.",
	"grants.self":                  "The role may also read its own policies, so that this page can show what it really has.",
	"grants.anywhere":              "On everything in the account",
	"grants.only_on":               "Only on",
	"grants.more":                  "and %s more, see the policy",
	"grants.conditions":            "Under conditions, see the policy",
	"grants.deny":                  "Never",
	"grants.untitled":              "Permission",
	"grant.in_service":             "%s in %s",
	"grant.many_services":          "%s in %s services",
	"grant.unknown_action":         "Use %s",
	"badge.read":                   "reads",
	"badge.write":                  "changes",
	"badge.permissions":            "changes permissions",
	"badge.deny":                   "forbids",
	"list.comma":                   ", ",
	"list.and":                     " and ",
	"level.List":                   "list what exists",
	"level.Read":                   "read data",
	"level.Write":                  "create, change and delete",
	"level.Tagging":                "change tags",
	"level.Permissions management": "change permissions",
}

// serviceNames are AWS's names of the services that roles are most often made
// for. Others are shown by their prefix.
var serviceNames = map[string]string{
	"access-analyzer": "IAM Access Analyzer", "acm": "Certificate Manager", "apigateway": "API Gateway",
	"athena": "Amazon Athena", "autoscaling": "EC2 Auto Scaling", "backup": "AWS Backup",
	"bedrock": "Amazon Bedrock", "budgets": "AWS Budgets", "ce": "Cost Explorer",
	"cloudformation": "CloudFormation", "cloudfront": "CloudFront", "cloudtrail": "CloudTrail",
	"cloudwatch": "CloudWatch", "codeartifact": "CodeArtifact", "codebuild": "CodeBuild",
	"config": "AWS Config", "cur": "Cost and Usage Reports", "dynamodb": "DynamoDB", "ec2": "Amazon EC2",
	"ecr": "Elastic Container Registry", "ecs": "Elastic Container Service", "eks": "Elastic Kubernetes Service",
	"elasticache": "ElastiCache", "elasticfilesystem": "Elastic File System", "elasticloadbalancing": "Elastic Load Balancing",
	"es": "OpenSearch Service", "events": "EventBridge", "execute-api": "your APIs in API Gateway",
	"glue": "AWS Glue", "guardduty": "GuardDuty", "iam": "IAM", "inspector2": "Amazon Inspector",
	"kinesis": "Kinesis Data Streams", "kms": "Key Management Service", "lambda": "AWS Lambda",
	"logs": "CloudWatch Logs", "organizations": "AWS Organizations", "pricing": "Price List",
	"rds": "Amazon RDS", "redshift": "Amazon Redshift", "resource-groups": "Resource Groups",
	"route53": "Route 53", "s3": "Amazon S3", "sagemaker": "SageMaker", "secretsmanager": "Secrets Manager",
	"securityhub": "Security Hub", "servicequotas": "Service Quotas", "sns": "Amazon SNS", "sqs": "Amazon SQS",
	"ssm": "Systems Manager", "states": "Step Functions", "sts": "Security Token Service", "support": "AWS Support",
	"tag": "Resource Groups tags", "trustedadvisor": "Trusted Advisor", "wafv2": "AWS WAF",
}

// say returns a text with the names filled in.
func say(key string, names ...string) string {
	text, ok := english[key]
	if !ok {
		panic("setup: there is no text " + key)
	}
	if len(names) == 0 {
		return text
	}
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	return fmt.Sprintf(text, args...)
}

// rich is say with backticks turned into code. The names are escaped.
func rich(key string, names ...string) template.HTML {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = strings.ReplaceAll(html.EscapeString(name), "`", "&#96;")
	}
	var b strings.Builder
	for i, part := range strings.Split(say(key, escaped...), "`") {
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String())
}

func has(key string) bool { return english[key] != "" }

// resultText is what a screen reader says about a mark.
func resultText(result string) string {
	if text := english["result."+result]; text != "" {
		return text
	}
	return result
}

// expectation is what a step expects, in the page's words if it has any.
func expectation(s Step) string {
	if text := english["step."+s.Name]; text != "" {
		return text
	}
	return s.Expectation
}
