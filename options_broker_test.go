package crossaccount_test

import (
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// What the broker would refuse at first use, New refuses, and says which option
// it is and which rule.
func TestWrongOptionsOfTheBroker(t *testing.T) {
	many := make([]string, 11)
	for i := range many {
		many[i] = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	}
	for name, tt := range map[string]struct {
		option crossaccount.Option
		want   string
	}{
		"no rate":             {crossaccount.WithSTSRate(0), "WithSTSRate (sts_rate): 0 must be at least 1"},
		"less than one":       {crossaccount.WithSTSRate(0.5), "WithSTSRate (sts_rate): 0.5 must be at least 1"},
		"no number":           {crossaccount.WithSTSRate(math.NaN()), "WithSTSRate (sts_rate): NaN must be at least 1"},
		"no region":           {crossaccount.WithSTSRegions("nowhere"), `WithSTSRegions (sts_regions): "nowhere" is not a region`},
		"second is no region": {crossaccount.WithSTSRegions("us-east-1", ""), `WithSTSRegions (sts_regions): "" is not a region`},
		"twice":               {crossaccount.WithSTSRegions("us-east-1", "us-east-1"), "WithSTSRegions (sts_regions): the region us-east-1 is named twice"},
		"two partitions":      {crossaccount.WithSTSRegions("us-east-1", "cn-north-1"), "WithSTSRegions (sts_regions): the regions us-east-1 and cn-north-1 are of different partitions"},
		"another partition":   {crossaccount.WithSTSRegions("cn-north-1"), "WithSTSRegions (sts_regions): cn-north-1 is in partition aws-cn, default_region us-east-1 is in aws"},
		"purpose, no name":    {crossaccount.WithPurposes(broker.Purpose{Policy: listOnly}), "WithPurposes (purposes): a purpose has no name"},
		"purpose twice":       {crossaccount.WithPurposes(broker.Purpose{Name: "a"}, broker.Purpose{Name: "a"}), `WithPurposes (purposes): the purpose "a" is defined twice`},
		"purpose, no policy":  {crossaccount.WithPurposes(broker.Purpose{Name: "a", Policy: "{"}), `WithPurposes (purposes): purpose "a": session policy`},
		"purpose, principal":  {crossaccount.WithPurposes(broker.Purpose{Name: "a", Policy: anyone}), `WithPurposes (purposes): purpose "a": session policy`},
		"purpose, ARN": {crossaccount.WithPurposes(broker.Purpose{Name: "a", PolicyARNs: []string{"arn:aws-cn:iam::aws:policy/ReadOnlyAccess"}}),
			"is not the ARN of a managed policy of the partition aws"},
		"purpose, many ARNs": {crossaccount.WithPurposes(broker.Purpose{Name: "a", PolicyARNs: many}), "at most 10 are allowed"},
		"purpose, too long": {crossaccount.WithPurposes(broker.Purpose{Name: "a", Policy: strings.Replace(listOnly, `"Resource":"*"`, `"Resource":["*","arn:aws:s3:::`+strings.Repeat("a", 2048)+`"]`, 1)}),
			`WithPurposes (purposes): purpose "a": `},
		"withdrawal": {crossaccount.WithWithdrawal(broker.Drain + 1), "WithWithdrawal (withdrawal): Config.Withdrawn is neither Stop nor Drain"},
		"no store":   {crossaccount.WithSharedSessions(nil, nil), "WithSharedSessions: the store is nil"},
	} {
		_, err := crossaccount.New(readConfig(aws.Config{}), crossaccount.WithLogger(nil), tt.option)
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", name, err, tt.want)
		}
	}
	_, err := crossaccount.New(readConfig(aws.Config{Region: "nowhere"}), crossaccount.WithLogger(nil))
	if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), `AWSConfig: "nowhere" is not a region`) {
		t.Errorf("AWSConfig of no region: %v", err)
	}
	for name, options := range map[string][]crossaccount.Option{
		"one a second":        {crossaccount.WithSTSRate(1)},
		"regions and purpose": {crossaccount.WithPurposes(broker.Purpose{Name: "a", Policy: listOnly}), crossaccount.WithSTSRegions("eu-west-1", "eu-central-1"), crossaccount.WithWithdrawal(broker.Drain)},
		"no regions":          {crossaccount.WithSTSRegions()},
	} {
		if _, err := crossaccount.New(readConfig(aws.Config{}), append(options, crossaccount.WithLogger(nil))...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
