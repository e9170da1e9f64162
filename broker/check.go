package broker

import (
	"fmt"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// check says which rule of AssumeRole a request breaks. What STS would refuse for
// its form is refused here.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (b *Broker) check(r *Request) error {
	switch {
	case r.Customer == "":
		return invalid("the request has no customer; say for whom the access is")
	case len(r.Customer) > maxName || len(r.Integration) > maxName:
		return invalid(fmt.Sprintf("the customer or integration has more than %d bytes", maxName))
	case len(r.Chain) == 0:
		return invalid("the request names no role; give at least one in Chain")
	case len(r.Chain) > MaxChain:
		return invalid(fmt.Sprintf("the chain has %d roles; at most %d are followed", len(r.Chain), MaxChain))
	case r.Class > HTTPRead:
		return invalid("the class is neither InProcess nor HTTPRead")
	case r.Purpose != "" && b.purposes[r.Purpose] == nil:
		return invalid(fmt.Sprintf("the purpose %q is not configured; add it to the purposes of the configuration", clip(r.Purpose)))
	}
	for i := range r.Chain {
		if err := b.checkRole(&r.Chain[i], i > 0); err != nil {
			return &Error{Code: CodeInvalidRequest, Message: fmt.Sprintf("role %d of the chain: %s", i+1, err.Error()), cause: err}
		}
	}
	last := r.Chain[len(r.Chain)-1]
	if last.Shared {
		return invalid("the last role of the chain is marked as shared; what is handed out belongs to one customer")
	}
	if r.Purpose != "" && (last.Policy != "" || len(last.PolicyARNs) > 0) {
		return invalid("both the purpose and the last role have session policies; STS takes one set, so give only one")
	}
	return nil
}

// maxName is the longest name of a customer or integration, in bytes.
const maxName = 512

func (b *Broker) checkRole(role *Role, chained bool) error {
	arn, err := iam.ParseRoleARN(role.ARN)
	if err != nil {
		return err
	}
	if arn.Partition != b.partition {
		return fmt.Errorf("the role is of the partition %s and the broker of %s; roles cannot be assumed across partitions", arn.Partition, b.partition)
	}
	if role.ExternalID != "" {
		if err := reference.CheckExternalID(role.ExternalID); err != nil {
			return err
		}
	}
	if err := reference.CheckSessionName(role.SessionName); err != nil {
		return err
	}
	if role.SourceIdentity != "" {
		if err := reference.CheckSourceIdentity(role.SourceIdentity); err != nil {
			return err
		}
		if strings.HasPrefix(strings.ToLower(role.SourceIdentity), "aws:") {
			return fmt.Errorf("the source identity begins with aws:, which is reserved")
		}
	}
	if err := checkTags(role); err != nil {
		return err
	}
	if err := checkSessionPolicies(role.Policy, role.PolicyARNs, b.partition); err != nil {
		return err
	}
	return reference.CheckSessionDuration(lasting(role, chained), reference.MaxMaxSessionDuration, chained)
}

// lasting is how long a session of the role is asked for.
func lasting(role *Role, chained bool) time.Duration {
	d := role.Duration
	if d == 0 {
		d = reference.DefaultSession
	}
	if chained {
		d = min(d, reference.MaxChainedSession)
	}
	return d
}

func checkTags(role *Role) error {
	tags := make(map[string]string, len(role.Tags))
	for _, t := range role.Tags {
		if _, twice := tags[t.Key]; twice {
			return fmt.Errorf("the session tag %q appears twice", clip(t.Key))
		}
		tags[t.Key] = t.Value
	}
	if err := reference.CheckTags(tags); err != nil {
		return err
	}
	for _, key := range role.TransitiveTagKeys {
		if _, ok := tags[key]; !ok {
			return fmt.Errorf("the transitive tag key %q is not the key of a session tag", clip(key))
		}
	}
	return nil
}

// maxPolicyText is what the inline session policy and the ARNs of managed ones
// may have together, in characters.
const maxPolicyText = reference.MaxSessionPolicySize

func checkSessionPolicies(policy string, arns []string, partition string) error {
	size := 0
	if policy != "" {
		if err := reference.CheckPolicyCharacters(policy); err != nil {
			return err
		}
		for range policy {
			size++
		}
		if err := reference.CheckSessionPolicySize(size); err != nil {
			return err
		}
		parsed, err := iam.ParsePolicy([]byte(policy))
		if err != nil {
			return fmt.Errorf("session policy: %w", err)
		}
		if problems := parsed.Check(iam.KindSession); len(problems) > 0 {
			return fmt.Errorf("session policy: %s", problems[0])
		}
	}
	if len(arns) > reference.MaxSessionPolicyARNs {
		return fmt.Errorf("there are %d managed session policies; at most %d are allowed", len(arns), reference.MaxSessionPolicyARNs)
	}
	for _, a := range arns {
		arn, err := iam.ParseARN(a)
		if err != nil {
			return fmt.Errorf("managed session policy: %w", err)
		}
		if arn.Service != "iam" || arn.Partition != partition || !strings.HasPrefix(arn.Resource, "policy/") || strings.ContainsAny(a, "\n*?") {
			return fmt.Errorf("%q is not the ARN of a managed policy of the partition %s", clip(a), partition)
		}
		size += len(a)
	}
	if size > maxPolicyText {
		return fmt.Errorf("the session policy and the ARNs of managed policies have %d characters together; at most %d are allowed", size, maxPolicyText)
	}
	return nil
}

// Validate returns the error that [New] would, without making anything, so that
// whoever builds a configuration out of settings can refuse a wrong one early.
func (c Config) Validate() error {
	_, err := checkedConfig(c)
	return err
}

// checkedConfig returns the configuration with defaults, or what is wrong.
func checkedConfig(c Config) (Config, error) {
	if c.AWSConfig.Credentials == nil {
		return c, invalid("Config.AWSConfig has no credentials; give the configuration of the broker's own identity")
	}
	if len(c.Regions) == 0 {
		if c.AWSConfig.Region == "" {
			return c, invalid("neither Config.Regions nor Config.AWSConfig names a region; STS is called at a regional endpoint")
		}
		c.Regions = []string{c.AWSConfig.Region}
	}
	home, ok := iam.PartitionOfRegion(c.Regions[0])
	if !ok {
		return c, invalid(fmt.Sprintf("%q is not a region", clip(c.Regions[0])))
	}
	seen := map[string]bool{}
	for _, region := range c.Regions {
		partition, ok := iam.PartitionOfRegion(region)
		switch {
		case !ok:
			return c, invalid(fmt.Sprintf("%q is not a region", clip(region)))
		case partition.ID != home.ID:
			return c, invalid(fmt.Sprintf("the regions %s and %s are of different partitions", c.Regions[0], region))
		case seen[region]:
			return c, invalid(fmt.Sprintf("the region %s is named twice", region))
		}
		seen[region] = true
	}
	if c.MaxPerSecond == 0 {
		c.MaxPerSecond = 300
	}
	if c.CustomerRate == (Rate{}) {
		c.CustomerRate = Rate{Burst: 10, Every: 5 * time.Second}
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = 64
	}
	switch {
	case !(c.MaxPerSecond >= 1):
		return c, invalid("Config.MaxPerSecond is less than 1")
	case c.CustomerRate.Burst < 1 || c.CustomerRate.Every <= 0:
		return c, invalid("Config.CustomerRate needs a burst of at least 1 and a duration above 0")
	case c.MaxConcurrent < 1:
		return c, invalid("Config.MaxConcurrent is less than 1")
	case c.CoarseClock < 0 || c.CoarseClock > time.Second:
		return c, invalid("Config.CoarseClock is not between 0 and 1s")
	case c.Withdrawn > Drain:
		return c, invalid("Config.Withdrawn is neither Stop nor Drain")
	case c.SharedStore != nil && c.Sealer == nil:
		return c, invalid("Config.SharedStore needs Config.Sealer; credentials are not stored unsealed")
	case c.SharedStore != nil && c.BaseIdentity == "":
		return c, invalid("Config.SharedStore needs Config.BaseIdentity, so that brokers of different identities never share a session")
	}
	names := map[string]bool{}
	for _, p := range c.Purposes {
		switch err := checkSessionPolicies(p.Policy, p.PolicyARNs, home.ID); {
		case p.Name == "":
			return c, invalid("a purpose has no name")
		case names[p.Name]:
			return c, invalid(fmt.Sprintf("the purpose %q is defined twice", clip(p.Name)))
		case err != nil:
			return c, &Error{Code: CodeInvalidRequest, Message: fmt.Sprintf("purpose %q: %s", clip(p.Name), err), cause: err}
		}
		names[p.Name] = true
	}
	return c, nil
}

// clip shortens a text that somebody else wrote.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
