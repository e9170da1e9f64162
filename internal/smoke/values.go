package smoke

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// concrete puts values in the place of what only AWS knows. If one is not found
// it says how to give it.
func (y *trying) concrete(ctx context.Context, text string) (value, missing string) {
	return y.concreteOf(ctx, text, y.trial)
}

func (y *trying) concreteOf(ctx context.Context, text string, of *grant.Trial) (value, missing string) {
	value = iam.ReplaceSymbols(text, func(id string) string {
		source, ok := y.plan.Source(id)
		if !ok { // something of another stack
			v := y.given(of.Given.Resource, of.Stage)
			if v == "" {
				missing = fmt.Sprintf("what AWS calls it is not known: give it with --value %s.%s=…", of.Given.Resource, of.Stage)
			}
			if strings.HasPrefix(text, "arn:") { // the rest is there
				v = v[strings.LastIndexAny(v, ":/")+1:]
			}
			return v
		}
		v := y.value(ctx, id, &source)
		if v == "" {
			missing = fmt.Sprintf("its %s is not known: give it with --value %s.%s=…", strings.ToUpper(source.Attribute), source.Of, source.Stage)
		}
		return v
	})
	if missing == "" && strings.HasSuffix(value, "-??????") { // of a secret
		if given := y.given(of.Given.Resource, of.Stage); given != "" {
			value = given
		} else if arn := y.physical(ctx, of); arn != "" {
			value = arn
		} else if missing == "" {
			// A partial ARN is looked up in the caller's own account.
			missing = fmt.Sprintf("the six characters at the end of its ARN are not known: give the ARN with --value %s.%s=…", of.Given.Resource, of.Stage)
		}
	}
	if given := y.given(of.Given.Resource, of.Stage); strings.HasSuffix(value, "/stream/*") && strings.Contains(given, "/stream/") {
		value = given
	}
	return value, missing
}

func (r *run) given(name, stage string) string {
	if v, ok := r.Values[name+"."+stage]; ok {
		return v
	}
	return r.Values[name]
}

// value finds what a symbol stands for: among the values that were given, the
// parameters of the consumer's stacks, and the resources of the owner's.
func (y *trying) value(ctx context.Context, id string, source *grant.Source) string {
	if v := y.given(source.Of, source.Stage); v != "" {
		return shaped(v, source)
	}
	return y.remembered(id, func() string { return y.lookUp(ctx, source) })
}

// remembered looks a value up once for each consumer's account, also if it is
// not found: accounts differ in what they may see.
func (y *trying) remembered(id string, lookUp func() string) string {
	id += " " + y.trial.Consumer.ID
	y.mu.Lock()
	v, done := y.values[id]
	y.mu.Unlock()
	if done {
		return v
	}
	v = lookUp()
	y.mu.Lock()
	y.values[id] = v
	y.mu.Unlock()
	return v
}

func (y *trying) lookUp(ctx context.Context, source *grant.Source) string {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, fed := range source.Fed {
		if fed.Stack.AccountID != y.trial.Consumer.ID {
			continue
		}
		out, err := cloudformation.NewFromConfig(inRegion(y.base.config, fed.Stack.Region)).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &fed.Stack.Name})
		if err != nil || len(out.Stacks) == 0 {
			continue // the role itself seldom may
		}
		for _, p := range out.Stacks[0].Parameters {
			if aws.ToString(p.ParameterKey) == fed.Parameter {
				return aws.ToString(p.ParameterValue)
			}
		}
	}
	return shaped(y.resourceOf(ctx, source.Stack, source.LogicalID), source)
}

// resourceOf asks the account of a stack for the physical id of a resource.
func (y *trying) resourceOf(ctx context.Context, s *grant.Stack, logicalID string) string {
	if y.Owner == nil {
		return ""
	}
	config, err := y.Owner(ctx, grant.Place{Account: s.Account, ID: s.AccountID, Partition: s.Partition, Region: s.Region, Profile: s.Profile})
	if err != nil {
		return ""
	}
	out, err := cloudformation.NewFromConfig(inRegion(config, s.Region)).DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: &s.Name, LogicalResourceId: &logicalID})
	if err != nil || out.StackResourceDetail == nil {
		return ""
	}
	return aws.ToString(out.StackResourceDetail.PhysicalResourceId)
}

// physical finds the ARN of a resource that the plan creates.
func (y *trying) physical(ctx context.Context, of *grant.Trial) string {
	source, ok := y.plan.Created(of.Given.Resource, of.Stage)
	if !ok {
		return ""
	}
	return y.remembered("physical "+of.Given.Resource+" "+of.Stage, func() string {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if v := y.resourceOf(ctx, source.Stack, source.LogicalID); strings.HasPrefix(v, "arn:") {
			return v
		}
		return ""
	})
}

// shaped makes an ARN of a key's id where one is wanted, and an id of an ARN.
func shaped(v string, source *grant.Source) string {
	switch {
	case v == "":
		return ""
	case source.Attribute == "Id" && strings.HasPrefix(v, "arn:"):
		return v[strings.LastIndexAny(v, ":/")+1:]
	case source.Attribute == "Arn" && !strings.HasPrefix(v, "arn:"):
		return "arn:" + source.Stack.Partition + ":kms:" + source.Stack.Region + ":" + source.Stack.AccountID + ":key/" + v
	}
	return v
}

func inRegion(c aws.Config, region string) aws.Config {
	c = c.Copy()
	c.Region = region
	return c
}
