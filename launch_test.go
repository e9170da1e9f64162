package crossaccount

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

var linkStack = &template.Stack{Parameters: []template.Parameter{
	{ID: "ExternalId", MinLength: 2, MaxLength: 200},
	{ID: "RoleName"},
	{ID: "SetupPhase", AllowedValues: []string{"true", "false"}},
}}

func TestLaunchLinkURL(t *testing.T) {
	tests := []struct {
		name string
		link LaunchLink
		want string // the link, or what the error must contain after "!"
	}{
		{
			"commercial",
			LaunchLink{"eu-west-1", "https://b.s3.eu-west-1.amazonaws.com/k", "acme-1", map[string]string{"RoleName": "a b+c", "ExternalId": "acme/x=1"}},
			"https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks/quickcreate?templateURL=https%3A%2F%2Fb.s3.eu-west-1.amazonaws.com%2Fk&stackName=acme-1&param_ExternalId=acme%2Fx%3D1&param_RoleName=a%20b%2Bc",
		},
		{
			"govcloud",
			LaunchLink{"us-gov-west-1", "https://b.s3.us-gov-west-1.amazonaws.com/k", "acme", nil},
			"https://console.amazonaws-us-gov.com/cloudformation/home?region=us-gov-west-1#/stacks/quickcreate?templateURL=https%3A%2F%2Fb.s3.us-gov-west-1.amazonaws.com%2Fk&stackName=acme",
		},
		{
			"china",
			LaunchLink{"cn-northwest-1", "https://b.s3.cn-northwest-1.amazonaws.com.cn/k", "acme", nil},
			"https://console.amazonaws.cn/cloudformation/home?region=cn-northwest-1#/stacks/quickcreate?templateURL=https%3A%2F%2Fb.s3.cn-northwest-1.amazonaws.com.cn%2Fk&stackName=acme",
		},
		{"region is a host name", LaunchLink{"evil.example/#", "https://b.s3.amazonaws.com/k", "acme", nil}, "!is not an AWS region name"},
		{"region has a newline", LaunchLink{"us-east-1\n", "https://b.s3.amazonaws.com/k", "acme", nil}, "!is not an AWS region name"},
		{"secret partition", LaunchLink{"us-iso-east-1", "https://b.s3.c2s.ic.gov/k", "acme", nil}, "!has no public address"},
		{"stack name", LaunchLink{"us-east-1", "https://b.s3.amazonaws.com/k", "1acme", nil}, "!must begin with a letter"},
		{"stack name injects", LaunchLink{"us-east-1", "https://b.s3.amazonaws.com/k", "a&param_RoleName=x", nil}, "!stack name"},
		{"unknown parameter", LaunchLink{"us-east-1", "https://b.s3.amazonaws.com/k", "acme", map[string]string{"externalid": "x"}}, `!no parameter "externalid"`},
		{"value not allowed", LaunchLink{"us-east-1", "https://b.s3.amazonaws.com/k", "acme", map[string]string{"SetupPhase": "maybe"}}, "!parameter SetupPhase"},
		{"plain http", LaunchLink{"us-east-1", "http://b.s3.amazonaws.com/k", "acme", nil}, "!https"},
		{"long URL", LaunchLink{"us-east-1", "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=" + strings.Repeat("a", 5120), "acme", nil}, "!at most 5120"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.link.URL(linkStack)
			if want, isError := strings.CutPrefix(test.want, "!"); isError {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("URL() = %q, %v; want an error with %q", got, err, want)
				}
				if got != "" {
					t.Errorf("URL() = %q beside an error", got)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("URL(): %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The console decodes what we wrote to exactly what we meant, and a hostile
// value never becomes another parameter, another template or another host.
func TestLaunchLinkRoundTrip(t *testing.T) {
	hostile := rapid.OneOf(
		rapid.StringMatching(`[ -~]{0,60}`),
		rapid.SampledFrom([]string{"", "a b", "+", "%20", "&param_RoleName=x", "#", "?", "x#/stacks", "a=b&c=d", "é", "\"><script>", "../..", "日本"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		external := rapid.StringMatching(`[ -~]{2,60}`).Draw(t, "external ID")
		link := LaunchLink{
			Region:      rapid.SampledFrom([]string{"us-east-1", "eu-central-1", "us-gov-east-1", "cn-north-1"}).Draw(t, "region"),
			TemplateURL: "https://bucket.s3.us-east-1.amazonaws.com/" + url.PathEscape(hostile.Draw(t, "key")) + "?X-Amz-Signature=" + url.QueryEscape(hostile.Draw(t, "signature")),
			StackName:   stackName(rapid.StringN(1, 80, 200).Draw(t, "service"), rapid.StringN(0, 300, -1).Draw(t, "customer")),
			Parameters:  map[string]string{"ExternalId": external, "RoleName": hostile.Draw(t, "role name")},
		}
		text, err := link.URL(linkStack)
		if err != nil {
			t.Fatalf("URL: %v", err)
		}
		parsed, err := ParseLaunchLink(text)
		if err != nil {
			t.Fatalf("ParseLaunchLink(%q): %v", text, err)
		}
		if diff := cmp.Diff(&link, parsed); diff != "" {
			t.Fatalf("link changed on its way (-sent +received):\n%s\n%s", diff, text)
		}
		if strings.Count(text, "#") != 1 || strings.ContainsAny(text, " +\"<>\n") {
			t.Fatalf("link has characters that need escaping: %q", text)
		}
	})
}

func TestParseLaunchLinkRefuses(t *testing.T) {
	const good = "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate?templateURL=https%3A%2F%2Fb.s3.amazonaws.com%2Fk&stackName=a"
	if _, err := ParseLaunchLink(good); err != nil {
		t.Fatalf("the link the others are made from: %v", err)
	}
	older := strings.Replace(good, "quickcreate", "create/review", 1)
	if _, err := ParseLaunchLink(older); err != nil {
		t.Errorf("the older address: %v", err)
	}
	for name, link := range map[string]string{
		"http":            strings.Replace(good, "https:", "http:", 1),
		"other host":      strings.Replace(good, "console.aws.amazon.com", "console.aws.amazon.com.evil.example", 1),
		"user":            strings.Replace(good, "https://", "https://aws@", 1),
		"other region":    strings.Replace(good, "region=us-east-1", "region=eu-west-1", 1),
		"two regions":     strings.Replace(good, "region=us-east-1", "region=us-east-1&region=eu-west-1", 1),
		"other page":      strings.Replace(good, "quickcreate", "delete", 1),
		"repeated":        good + "&stackName=b",
		"bad escape":      good + "&param_X=%zz",
		"no template":     strings.Replace(good, "templateURL", "TemplateURL", 1),
		"not a link":      "javascript:alert(1)",
		"template by ftp": strings.Replace(good, "https%3A", "ftp%3A", 1),
	} {
		if l, err := ParseLaunchLink(link); !errors.Is(err, CodeInvalidRequest) {
			t.Errorf("%s: ParseLaunchLink(%q) = %+v, %v; want invalid_request", name, link, l, err)
		}
	}
}

func TestStackName(t *testing.T) {
	for _, test := range []struct{ service, customer, want string }{
		{"Acme", "42", "Acme-42"},
		{"Acme Analytics", "cust-7", "Acme-Analytics-cust-7"},
		{"7 Seas", "x", "x-7-Seas-x"},
	} {
		if got := stackName(test.service, test.customer); got != test.want {
			t.Errorf("stackName(%q, %q) = %q, want %q", test.service, test.customer, got, test.want)
		}
	}
	// Names that must not be the same, though what AWS allows of them is.
	seen := make(map[string]string)
	for _, customer := range []string{"a.b", "a b", "a_b", "a-b", "A-b", "a/b", "a\x00b", strings.Repeat("a", 200), strings.Repeat("a", 201), "é", "è", "", "日本", "日本語"} {
		name := stackName("Acme", customer)
		if earlier, taken := seen[name]; taken {
			t.Errorf("%q and %q share the stack name %q", earlier, customer, name)
		}
		seen[name] = customer
	}
	rapid.Check(t, func(t *rapid.T) {
		service, customer := rapid.StringN(1, 300, -1).Draw(t, "service"), rapid.String().Draw(t, "customer")
		name := stackName(service, customer)
		if err := reference.CheckStackName(name); err != nil {
			t.Fatalf("stackName(%q, %q) = %q: %v", service, customer, name, err)
		}
		if again := stackName(service, customer); again != name {
			t.Fatalf("the name changed from %q to %q", name, again)
		}
	})
}

func FuzzParseLaunchLink(f *testing.F) {
	f.Add("https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate?templateURL=https%3A%2F%2Fb.s3.amazonaws.com%2Fk&stackName=a&param_ExternalId=xy")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLaunchLink(text)
		if err != nil {
			return
		}
		stack := &template.Stack{}
		for id := range l.Parameters {
			stack.Parameters = append(stack.Parameters, template.Parameter{ID: id})
		}
		again, err := l.URL(stack)
		if err != nil {
			return // a stack name or value that we would not have written
		}
		back, err := ParseLaunchLink(again)
		if err != nil {
			t.Fatalf("ParseLaunchLink(%q): %v", again, err)
		}
		if diff := cmp.Diff(l, back); diff != "" {
			t.Errorf("reading, writing and reading again changed the link:\n%s", diff)
		}
	})
}
