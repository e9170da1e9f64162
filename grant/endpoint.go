package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// An Endpoint is a VPC endpoint that a consumer's traffic takes. Its policy is
// one more gate, which the plan opens for the consumer's grants and nothing
// else.
//
// https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
type Endpoint struct {
	Consumer string                     `key:"consumer,required" doc:"The consumer whose VPC it is in."`
	Service  string                     `key:"service,required" doc:"The service, as the endpoint's service name ends." enum:"@endpoints"`
	Region   string                     `key:"region" doc:"Its region. Default: the first one of the account." pattern:"[a-z]{2,4}(-[a-z]+)+-[0-9]+"`
	ID       ByStage                    `key:"id" doc:"The id of the endpoint, if it exists; by the consumer's stage." pattern:"vpce-[0-9a-f]{8,17}"`
	Create   map[string]template.Object `key:"create" doc:"Creates the endpoint, with these properties of AWS::EC2::VPCEndpoint, by the consumer's stage."`
	Keep     []template.Object          `key:"keep" doc:"Statements that its policy must have besides, for traffic that has nothing to do with the grants."`
}

// endpointServices are the services with endpoint policies that grants need, by
// the end of the endpoint's service name, with the prefix of their actions.
//
// https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html
var endpointServices = map[string]string{
	"codeartifact.api": "codeartifact", "codeartifact.repositories": "codeartifact", "dynamodb": "dynamodb", "ecr.api": "ecr", "ecr.dkr": "ecr",
	"events": "events", "execute-api": "execute-api", "kinesis-streams": "kinesis", "kms": "kms", "lambda": "lambda", "s3": "s3",
	"secretsmanager": "secretsmanager", "sns": "sns", "sqs": "sqs", "states": "states", "sync-states": "states", "sts": "sts",
}

// maxEndpointPolicySize is in characters, white space included.
//
// https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-limits-endpoints.html
const maxEndpointPolicySize = 20480

// endpoints checks the endpoints of a manifest.
func (v *validator) endpoints() {
	m := v.m
	for _, name := range sortedKeys(m.Endpoints) {
		d, at := m.Endpoints[name], "endpoints."+name
		consumer, ok := m.Consumers[d.Consumer]
		if !ok {
			v.report(m.unknown(at+".consumer", "consumer", d.Consumer, sortedKeys(m.Consumers)))
			continue
		}
		stage := func(key, stage string) {
			if _, ok := consumer.Accounts[stage]; !ok {
				v.report(m.unknown(at+"."+key+"."+stage, "stage of the consumer", stage, sortedKeys(consumer.Accounts)))
			}
		}
		for _, s := range sortedKeys(d.ID) {
			if s != "" {
				stage("id", s)
			} else if len(consumer.Accounts) > 1 {
				v.report(m.problem(RuleValue, at+".id", "give one for each: id: {testing: vpce-…, production: vpce-…}", "the consumer %q has several accounts, and an endpoint is in one", d.Consumer))
			}
		}
		for _, s := range sortedKeys(d.Create) {
			stage("create", s)
			if d.ID.For(s) != "" {
				v.report(m.problem(RuleValue, at+".create."+s, "keep one of them", "the endpoint in %s has an id and is to be created", s))
			}
			if hasKey(d.Create[s], "PolicyDocument") {
				v.report(m.problem(RuleValue, at+".create."+s+".PolicyDocument", "write statements that must stay under keep", "the plan writes the policy"))
			}
			if !hasKey(d.Create[s], "VpcId") {
				v.report(m.problem(RuleMissing, at+".create."+s, "add VpcId", "an endpoint needs its VPC"))
			}
		}
		if len(d.ID)+len(d.Create) == 0 {
			v.report(m.problem(RuleMissing, at, "add id, or create to have it made", "the endpoint %q needs its id", name))
		}
		v.checkKept(at, d.Keep)
	}
}

// A gate is an endpoint in one of the consumer's stages, with its policy.
type gate struct {
	name, stage, path string
	decl              *Endpoint
	site              *site
	service           string // prefix of its actions
	id                string // "" if it is created
	place             *place
	open              []opening
}

// An opening is what an endpoint lets through for a grant.
type opening struct {
	edge       *edge // nil for pods that exchange their tokens
	caller     string
	right      heldRight
	assumption bool
}

// gates makes the endpoints that edges pass.
func (b *builder) gates(edges []*edge, x *expander) {
	for _, name := range sortedKeys(b.m.Endpoints) {
		d := b.m.Endpoints[name]
		consumer := b.m.Consumers[d.Consumer]
		before := len(b.endpoints)
		for _, stage := range sortedKeys(consumer.Accounts) {
			_, created := d.Create[stage]
			if !created && d.ID.For(stage) == "" {
				continue
			}
			s := x.site(consumer.Accounts[stage], d.Region)
			if !slices.Contains(b.m.Accounts[s.Account].Regions, s.Region) {
				b.report(b.m.problem(RuleRegion, "endpoints."+name+".region", "add it to accounts."+s.Account+".regions", "the account %q does not list the region %q", s.Account, s.Region))
				continue
			}
			g := &gate{name: name, stage: stage, path: "endpoints." + name, decl: &d, site: s, service: endpointServices[d.Service], id: d.ID.For(stage)}
			g.place = &place{key: "endpoint/" + name + "/" + stage, title: fmt.Sprintf("policy of the VPC endpoint %q in %s", name, stage), kind: iam.KindEndpoint, path: g.path, needs: map[string]string{}}
			for _, e := range edges {
				b.pass(g, e)
			}
			if len(g.open) == 0 {
				continue
			}
			for _, k := range keptStatements(d.Keep, map[string]string{"region": s.Region, "account": s.ID, "consumer_stage": stage}, noProblem) {
				g.place.add(statement{Statement: k, fixed: true})
			}
			b.endpoints = append(b.endpoints, g)
			b.gate(g)
		}
		if len(b.endpoints) == before && len(b.problems) == 0 {
			b.report(b.m.problem(RuleValue, "endpoints."+name+".service", "remove the endpoint, or check its service, region and stages", "no grant of %q passes an endpoint of %s there", d.Consumer, d.Service))
		}
	}
}

// pass opens a gate for what an edge needs through it. Requests that a service
// makes for the caller, such as those for the key of an encrypted resource, do
// not come through the caller's endpoint.
func (b *builder) pass(g *gate, e *edge) {
	if e.grant.Consumer != g.decl.Consumer || e.pair.consumerStage != g.stage || e.grant.RoleOf != "" {
		return
	}
	if g.id != "" && len(e.grant.Only.Endpoints) > 0 && !slices.Contains(e.grant.Only.Endpoints, g.id) {
		return
	}
	caller := e.principal.arn
	if e.principal.account {
		caller = ""
	}
	if e.assume != "" {
		if g.service == "sts" {
			actions := []string{"sts:AssumeRole"}
			if e.principal.pods.podIdentity() {
				actions = append(actions, "sts:TagSession")
			}
			b.open(g, opening{edge: e, caller: caller, assumption: true, right: heldRight{right: right{sid: "AssumeRole", actions: actions}, resources: []string{e.assume}}})
		}
		caller = e.assume
	}
	if g.service == "sts" {
		b.openForPods(g, e)
	}
	if e.resource.site.Region != g.site.Region && !slices.ContainsFunc(e.rights, func(h heldRight) bool { return h.right.side == consumerSide }) {
		return
	}
	for _, h := range e.rights {
		if h.key && e.resource.key != nil {
			continue
		}
		h.right.actions = slices.DeleteFunc(slices.Clone(h.right.actions), func(a string) bool {
			return !strings.HasPrefix(a, g.service+":") || a == "sts:GetServiceBearerToken" // the service asks STS itself
		})
		if len(h.right.actions) > 0 {
			h.conditions = nil // the resource and the caller's permissions ask for them
			b.open(g, opening{edge: e, caller: caller, right: h})
		}
	}
	// Layers of images are fetched from a bucket of the service, by URLs that it
	// signs.
	// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-minimum-s3-perms
	if g.service == "s3" && e.resource.kind.service == "ecr" {
		g.place.add(statement{Statement: iam.Statement{Sid: "FetchLayers", Effect: iam.Allow, Principal: &iam.Principals{All: true}, Action: []string{"s3:GetObject"},
			Resource: []string{fmt.Sprintf("arn:%s:s3:::prod-%s-starport-layer-bucket/*", g.site.Partition, g.site.Region)}}, grants: []string{e.grant.Name}})
		g.open = append(g.open, opening{edge: e})
	}
}

// openForPods lets the consumer's pods exchange their tokens for the role.
func (b *builder) openForPods(g *gate, e *edge) {
	if e.principal.pods == nil || e.principal.pods.podIdentity() {
		return
	}
	g.place.add(statement{Statement: iam.Statement{Sid: "ExchangeTokens", Effect: iam.Allow, Principal: &iam.Principals{All: true},
		Action: []string{"sts:AssumeRoleWithWebIdentity"}, Resource: []string{e.principal.arn}}, grants: []string{e.grant.Name}})
	g.open = append(g.open, opening{})
}

// open adds a statement. Its principal is everybody and the condition names the
// caller, because policies of gateway endpoints take a role's ARN as principal
// for nobody.
//
// https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html#gateway-endpoint-policies
func (b *builder) open(g *gate, o opening) {
	s := allow(o.right.right.sid, o.right)
	s.Principal = &iam.Principals{All: true}
	if o.caller != "" {
		s.Conditions = condition("ArnEquals", "aws:PrincipalArn", o.caller)
	} else {
		s.Conditions = condition("StringEquals", "aws:PrincipalAccount", o.edge.principal.site.ID)
	}
	g.place.add(statement{Statement: s, grants: []string{o.edge.grant.Name}})
	g.open = append(g.open, o)
}

// gate makes the unit of an endpoint.
func (b *builder) gate(g *gate) {
	document := g.place.policy()
	if size := longest(document); size > maxEndpointPolicySize {
		b.report(b.m.problem(RuleSize, g.path, "give the consumer several endpoints, or leave the endpoint's policy open and rely on the others",
			"the %s has %d characters; AWS allows %d; it serves the grants %s", g.place.title, size, maxEndpointPolicySize, few(g.place.grants())))
	}
	consumer := b.m.Consumers[g.decl.Consumer]
	owner := consumer.Owner
	if owner == "" {
		owner = g.decl.Consumer
	}
	u := &unit{key: g.place.key, id: camel(g.name, "Endpoint"), site: g.site, stage: g.stage, phase: phaseAccess, path: g.path, owner: owner, app: g.decl.Consumer, grants: g.place.grants()}
	created, ok := g.decl.Create[g.stage]
	switch {
	case ok && b.options.Format != CloudFormation:
		b.report(b.m.problem(RuleValue, g.path+".create", "declare the endpoint there and give its id here, or compile for cloudformation",
			"create has properties of CloudFormation, which %s cannot have", b.options.Format))
		return
	case ok:
		g.id = unitValue(u.key, "Id")
		properties := template.Object{}
		if !hasKey(created, "ServiceName") {
			if p := g.site.Partition; p != "aws" && p != "aws-us-gov" {
				b.report(b.m.problem(RuleMissing, g.path+".create."+g.stage, "add ServiceName", "names of services differ in the partition %s", p))
			}
			properties.AddText("ServiceName", "com.amazonaws."+g.site.Region+"."+g.decl.Service)
		}
		properties = append(append(properties, created...), template.Member{Key: "PolicyDocument", Value: document})
		if !hasKey(created, "Tags") {
			properties.Add("Tags", tagList(b.tags(owner, g.decl.Consumer, g.stage, g.place.grants())))
		}
		u.kind = &template.Generic{TypeName: "AWS::EC2::VPCEndpoint", Properties: properties, Attributes: map[string]string{"Id": "Id"}}
	case b.options.Format == Terraform:
		u.kind = &template.Generic{TypeName: "VPC endpoint policy", Terraform: []template.Block{{Type: "aws_vpc_endpoint_policy", Arguments: template.Object{
			{Key: "vpc_endpoint_id", Value: g.id}, {Key: "policy", Value: document},
		}}}}
	default:
		modify := []string{"aws", "ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", g.id}
		u.apply = &apply{title: g.place.title, document: document, put: append(slices.Clone(modify), "--policy-document", documentFile), remove: append(modify, "--reset-policy")}
		if after := g.place.withoutGrants(); len(after.Statements) > 0 {
			u.apply.remove, u.apply.after = u.apply.put, after
		}
	}
	b.unit(u)
}
