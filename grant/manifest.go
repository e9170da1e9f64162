package grant

import (
	"github.com/crossaccount/crossaccount/template"
)

// A Manifest says who may use what, in which stage. [Parse] reads one from
// YAML; [Compile] turns it into the policies of all accounts.
//
// Texts that make names may contain placeholders in braces, which differ by
// stage: {stage}, {app}, {consumer}, {consumer_stage}, {region} and {account}.
type Manifest struct {
	Version   int                 `key:"version,required" doc:"The version of this format. It is 1." enum:"1"`
	Owner     string              `key:"owner" doc:"Who owns everything that has no owner of its own; becomes the tag owner."`
	Accounts  map[string]Account  `key:"accounts,required" doc:"The AWS accounts, by a name of your choice."`
	Stages    map[string]Stage    `key:"stages" doc:"The stages of the applications. Default: dev (not exported), alpha, beta and prod, for the consumers' development, testing, staging and production."`
	Apps      map[string]App      `key:"apps,required" doc:"The applications that own resources and let others use them."`
	Consumers map[string]Consumer `key:"consumers,required" doc:"The teams or companies that use them."`
	Clusters  map[string]Cluster  `key:"clusters" doc:"EKS clusters whose pods use roles."`
	Endpoints map[string]Endpoint `key:"endpoints" doc:"VPC endpoints of consumers, whose policies the plan opens for the grants and nothing else."`
	Resources map[string]Resource `key:"resources,required" doc:"What is used."`
	Grants    []Grant             `key:"grants,required" doc:"Who may use what, and how."`

	positions map[string]Position // :: path → where it was written
}

// An Account is an AWS account.
type Account struct {
	ID        string   `key:"id,required" doc:"Its twelve digits." pattern:"[0-9]{12}" number:"yes"`
	Partition string   `key:"partition" doc:"The partition. Default: aws." enum:"aws aws-cn aws-us-gov aws-eusc aws-iso aws-iso-b aws-iso-e aws-iso-f"`
	Regions   []string `key:"regions,required" doc:"The regions in use; the first one is the default." pattern:"[a-z]{2,4}(-[a-z]+)+-[0-9]+"`
	Profile   string   `key:"profile" doc:"The profile of the aws CLI for the commands of the plan. Default: the account's name." pattern:"[A-Za-z0-9_.@/+=:-]+"`
}

// A Stage is one stage of the applications.
type Stage struct {
	Exported      *bool  `key:"exported" doc:"Whether consumers get access to this stage at all. Default: true, but false for dev."`
	ConsumerStage string `key:"consumer_stage" doc:"The consumers' stage that uses this one, unless the consumer says otherwise." pattern:"[A-Za-z0-9][A-Za-z0-9_.-]*"`
	Production    *bool  `key:"production" doc:"Whether this stage holds production data. Default: true for prod and production."`
}

// An App owns resources, in one account for each stage.
type App struct {
	Owner    string            `key:"owner" doc:"Becomes the tag owner."`
	Accounts map[string]string `key:"accounts,required" doc:"The account of each stage, by the stage's name."`
}

// A Consumer uses resources of apps, from one account for each of its stages.
type Consumer struct {
	Owner            string            `key:"owner" doc:"Becomes the tag owner of what is created in the consumer's accounts."`
	Accounts         map[string]string `key:"accounts,required" doc:"The account of each of the consumer's own stages."`
	Stages           map[string]string `key:"stages" doc:"Which stage of the consumer uses which stage of the apps, where it differs from the stages' consumer_stage: the app's stage, then the consumer's."`
	ProductionStages []string          `key:"production_stages" doc:"The consumer's stages that are production. Default: production and prod."`
	Role             *Role             `key:"role" doc:"The IAM role of the consumer that uses the resources, unless a grant names another."`
	Organization     string            `key:"organization" doc:"The id of the consumer's AWS organization, for trust: organization." pattern:"o-[a-z0-9]{10,32}"`
	ThirdParty       bool              `key:"third_party" doc:"Whether the consumer is another company. Roles it may assume then require an external ID."`
	ExternalID       string            `key:"external_id" doc:"The external ID that third parties send. It is no secret, but it must be unique to the consumer, and that of a third party hard to guess: long and random." pattern:"[A-Za-z0-9_+=,.@:/-]{2,}" hidden:"yes"`
}

// A Role is an IAM role of a consumer.
type Role struct {
	Name           string          `key:"name,required" doc:"The name; may contain placeholders." pattern:"[A-Za-z0-9_+=,.@{}-]+"`
	Path           string          `key:"path" doc:"The path, beginning and ending with a slash. Default: /." pattern:"/|/[!-)+->@-~]+/"`
	Create         string          `key:"create" doc:"The AWS service that uses the role, such as lambda.amazonaws.com: the role is then created with a trust policy for that service. Without it the role must exist." pattern:"[a-z0-9.-]+\\.amazonaws\\.com"`
	Policies       []string        `key:"policies" doc:"ARNs of managed policies that a created role gets, such as those of AWS for Lambda functions." pattern:"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+"`
	Permissions    []Permission    `key:"permissions" doc:"What the role may do besides, in its own account."`
	ServiceAccount *ServiceAccount `key:"service_account" doc:"The Kubernetes service account that uses the role: the role is then created for it."`
	Boundary       string          `key:"boundary" doc:"ARN of the permissions boundary of a created role." pattern:"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+"`
}

// A Cluster is an EKS cluster.
type Cluster struct {
	Account  string `key:"account,required" doc:"The account it is in."`
	Region   string `key:"region" doc:"Its region. Default: the first one of the account." pattern:"[a-z]{2,4}(-[a-z]+)+-[0-9]+"`
	Name     string `key:"name" doc:"Its name in EKS. Default: the name here." pattern:"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"`
	Issuer   string `key:"issuer" doc:"The URL of its identity provider, for irsa." pattern:"https://[a-z0-9.-]+/id/[A-Z0-9]{8,64}"`
	Provider string `key:"provider" doc:"exists if the account of the role has the identity provider already: an account has one for each issuer. Default: create." enum:"create exists"`
}

// A ServiceAccount is what pods run as.
type ServiceAccount struct {
	Namespace   string              `key:"namespace,required" doc:"Its namespace." pattern:"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"`
	Name        string              `key:"name,required" doc:"Its name." pattern:"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"`
	Clusters    map[string][]string `key:"clusters,required" doc:"The clusters, by the consumer's stage."`
	Via         string              `key:"via" doc:"irsa (tokens of the cluster's identity provider) or pod-identity (an agent on the nodes). Default: irsa." enum:"irsa pod-identity"`
	SessionTags *bool               `key:"session_tags" doc:"Pod Identity: whether EKS tags sessions with cluster, namespace and service account, and roles ask for the tags. Without them roles ask for the external ID that EKS sends. Default: true."`
}

// A Resource is what a grant is about.
type Resource struct {
	Kind        string            `key:"kind,required" doc:"The kind of resource. crossaccount explain lists them." enum:"@kinds"`
	App         string            `key:"app" doc:"The app that owns it. May be left out if there is only one."`
	Name        ByStage           `key:"name" doc:"The resource's name; may contain placeholders. One text for all stages, or one for each."`
	ID          ByStage           `key:"id" doc:"The identifier that AWS gave to the resource, for kinds that have one besides the name: the id of a key or an API."`
	IDFrom      *Origin           `key:"id_from" doc:"Where to find the id, if something outside this manifest creates the resource: the plan asks there when it is deployed."`
	ARN         ByStage           `key:"arn" doc:"The resource's ARN, instead of its name."`
	Region      string            `key:"region" doc:"The region. Default: the first one of the account." pattern:"[a-z]{2,4}(-[a-z]+)+-[0-9]+"`
	Encryption  string            `key:"encryption" doc:"How the resource is encrypted: none, aws-owned, aws-managed (a key that AWS manages in the account, such as alias/aws/kinesis), or the name of a resource of kind kms-key."`
	Create      template.Object   `key:"create" doc:"Creates the resource, with these properties of its CloudFormation type. Without it the resource must exist; only its policy is written."`
	Workflow    *Workflow         `key:"workflow" doc:"State machines that the plan creates: an Express workflow that returns a secret, with a role of its own."`
	Keep        []template.Object `key:"keep" doc:"Statements that the resource's policy has already and that must stay. The policy of a resource is one document: what is not here and not granted is removed."`
	Domain      string            `key:"domain" doc:"CodeArtifact repositories: the domain." pattern:"[a-z][a-z0-9-]{0,48}[a-z0-9]"`
	Stream      ByStage           `key:"stream" doc:"Tables: the ARN of the table's stream, for access stream through a policy. Without it that access goes through a role."`
	CORS        bool              `key:"cors" doc:"REST APIs: lets browsers send preflight requests, which have no credentials."`
	Permissions []Permission      `key:"permissions" doc:"Roles: what the role may do."`
	Path        string            `key:"path" doc:"Roles: the role's path. Default: /." pattern:"/|/[!-)+->@-~]+/"`
	Boundary    string            `key:"boundary" doc:"Roles: the ARN of the permissions boundary." pattern:"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+"`
	MaxSession  int               `key:"max_session" doc:"Roles: the longest session in seconds, 3600 to 43200. Sessions of roles that are assumed by other roles last 3600 at most."`
	Owner       string            `key:"owner" doc:"Becomes the tag owner. Default: the app's."`
}

// An Origin is where a value is found in the account and region of a resource:
// an output of a stack, an export, or an SSM parameter.
type Origin struct {
	Stack     string `key:"stack" doc:"A CloudFormation stack; may contain placeholders." pattern:"[A-Za-z{][A-Za-z0-9{}_-]*"`
	Output    string `key:"output" doc:"The output of that stack." pattern:"[A-Za-z0-9]+"`
	Export    string `key:"export" doc:"The name of an export of CloudFormation; may contain placeholders." pattern:"[A-Za-z0-9{}_:-]+"`
	Parameter string `key:"parameter" doc:"The name of an SSM parameter; may contain placeholders." pattern:"[A-Za-z0-9{}_./-]+"`
}

// A Permission is a statement of a role that the manifest declares.
type Permission struct {
	Actions   []string `key:"actions,required" doc:"Actions, such as dynamodb:GetItem." pattern:"[A-Za-z0-9-]+:[A-Za-z0-9*?]+"`
	Resources []string `key:"resources,required" doc:"ARNs; may contain placeholders."`
}

// A Grant lets a consumer use a resource.
type Grant struct {
	Name         string    `key:"name,required" doc:"A name, unique in the file; becomes the tag grant." pattern:"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"`
	Consumer     string    `key:"consumer,required" doc:"Who gets access."`
	Resource     string    `key:"resource,required" doc:"To what."`
	Access       []string  `key:"access,required" doc:"What the consumer may do, in words of the resource's kind. crossaccount explain KIND lists them."`
	Only         Narrowing `key:"only" doc:"Narrows the grant to a part of the resource."`
	Stages       []string  `key:"stages" doc:"The app's stages. Default: all that are exported."`
	Role         *Role     `key:"role" doc:"The consumer's role, if it is not the one that the consumer uses for everything."`
	RoleOf       string    `key:"role_of" doc:"Instead of role: a resource of kind role, whose sessions get the access. The consumer's stages and accounts do not matter then."`
	Via          string    `key:"via" doc:"How: policy (the resource's own policy names the consumer), role (the consumer assumes a role in the resource's account) or auto. Default: auto." enum:"auto policy role"`
	Trust        string    `key:"trust" doc:"How the consumer's role is recognised: named (its ARN is the principal; it must exist first, and loses access when it is created anew), matched (the account is the principal, and the condition aws:PrincipalArn names the role) or account (whatever the consumer's account allows itself; needs a waiver of GX-P02 unless the access is read-only and through a role) or organization (everybody in the consumer's organization whose account allows it; needs the waiver unless the access is read-only)." enum:"named matched account organization"`
	StateMachine string    `key:"state_machine" doc:"The name of the consumer's Step Functions state machine that assumes the role, for via: role; may contain placeholders. Its ARN becomes the external ID, because that is what Step Functions sends." pattern:"[A-Za-z0-9_{}+=,.@-]{1,80}"`
	Caller       *Caller   `key:"caller" doc:"For start-sync on a state machine: creates the state machine that state_machine names, which finds the role and the workflow in a parameter, runs the workflow and returns its result."`
	AssumeRole   string    `key:"assume_role" doc:"The name of the role in the resource's account for via: role; may contain placeholders." pattern:"[A-Za-z0-9_+=,.@{}-]+"`
	Waive        []Waiver  `key:"waive" doc:"Deliberate exceptions, each with its reason."`
}

// A Narrowing limits a grant to a part of a resource. Which of the fields apply
// depends on the kind.
type Narrowing struct {
	Prefixes    []string          `key:"prefixes" doc:"Buckets: beginnings of object keys, such as reports/."`
	ObjectTags  map[string]string `key:"object_tags" doc:"Buckets: tags that an object must have to be read."`
	Indexes     []string          `key:"indexes" doc:"Tables: names of secondary indexes that may be queried besides the table."`
	Keys        []string          `key:"keys" doc:"Tables: partition key values that items must have."`
	Attributes  []string          `key:"attributes" doc:"Tables: attributes that may be read or written; the caller must name them."`
	Versions    []string          `key:"versions" doc:"Secrets: version stages, such as AWSCURRENT."`
	Qualifier   string            `key:"qualifier" doc:"Functions: an alias or version. Callers must name it."`
	Sources     []string          `key:"sources" doc:"Event buses: values of source that may be put."`
	DetailTypes []string          `key:"detail_types" doc:"Event buses: values of detail-type that may be put."`
	Protocols   []string          `key:"protocols" doc:"Topics: protocols that may be subscribed, such as sqs."`
	Methods     []string          `key:"methods" doc:"APIs: HTTP methods. Default: those of the access."`
	Paths       []string          `key:"paths" doc:"APIs: paths without the first slash, with * for any text. Default: all."`
	APIStages   []string          `key:"api_stages" doc:"APIs: the stages of the API. Default: the stage's name."`
	Endpoints   []string          `key:"vpc_endpoints" doc:"VPC endpoints that the calls must come through." pattern:"vpce-[0-9a-f]+"`
}

// A Waiver accepts a finding.
type Waiver struct {
	Rule   string   `key:"rule,required" doc:"The rule that does not apply here, such as GX-B06." pattern:"GX-[A-Z][0-9]{2}"`
	Reason string   `key:"reason,required" doc:"Why, for whoever reviews this." pattern:"[^ ].*[^ ]"`
	Stages []string `key:"stages" doc:"The app's stages it holds for. Default: all of the grant."`
}

// ByStage is a text that is the same in all stages, under the key "", or
// differs by stage.
type ByStage map[string]string

// For returns the text for a stage, or "".
func (b ByStage) For(stage string) string {
	if s, ok := b[stage]; ok {
		return s
	}
	return b[""]
}

// Position returns where the element at path was written, or the nearest
// element around it. Paths look like "grants[2].access" and
// "accounts.orders-alpha.id".
func (m *Manifest) Position(path string) Position {
	for {
		if p, ok := m.positions[path]; ok || path == "" {
			return p
		}
		path = path[:max(lastOf(path), 0)]
	}
}

func lastOf(path string) int {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return i
		}
	}
	return 0
}
