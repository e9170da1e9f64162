package grant

import (
	"fmt"
	"strings"
)

// profiles writes a part of ~/.aws/config: a profile for each role of the
// consumer, and one for each role that it assumes. The aws command and the SDKs
// begin sessions with such profiles and renew them.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
func (h *clientHome) profiles(snippets []*snippet) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# For ~/.aws/config: %s (%s). Made by crossaccount clients.\n", commentLine(h.consumer), commentLine(h.stage))
	written := map[string]bool{}
	for _, s := range snippets {
		own := h.ownProfile(s.edge)
		if !written[own.name] && len(own.lines) > 0 {
			written[own.name] = true
			writeProfile(&b, own)
		}
		if s.Assume == "" {
			fmt.Fprintf(&b, "\n# Grant %s: profile %s with region %s, and full ARNs.\n", commentLine(s.Grant), own.name, configValue(s.Region))
			continue
		}
		lines := append([][2]string{{"role_arn", s.Assume}}, own.source...)
		lines = append(lines, [2]string{"role_session_name", s.Session}, [2]string{"duration_seconds", fmt.Sprint(s.Seconds)}, [2]string{"region", s.Region})
		if s.ExternalID != "" {
			lines = append(lines, [2]string{"external_id", s.ExternalID})
		}
		writeProfile(&b, profile{name: h.profileName(s.File), about: fmt.Sprintf("Grant %s: the role that is assumed.", s.Grant), lines: lines})
	}
	return []byte(b.String())
}

// A profile is one section of the configuration.
type profile struct {
	name, about string
	lines       [][2]string
	source      [][2]string // how other profiles take its credentials
}

func writeProfile(b *strings.Builder, p profile) {
	fmt.Fprintf(b, "\n# %s\n[profile %s]\n", commentLine(p.about), p.name)
	for _, l := range p.lines {
		fmt.Fprintf(b, "%s = %s\n", l[0], configValue(l[1]))
	}
}

func (h *clientHome) profileName(parts ...string) string {
	return strings.Join(append([]string{fileName(h.consumer), fileName(h.stage)}, parts...), "-")
}

// serviceSources are where programs on AWS's services have their role's
// credentials from.
var serviceSources = map[string]string{
	"lambda.amazonaws.com":    "Environment",
	"ec2.amazonaws.com":       "Ec2InstanceMetadata",
	"ecs-tasks.amazonaws.com": "EcsContainer",
}

// ownProfile is the profile of the consumer's own credentials.
func (h *clientHome) ownProfile(e *edge) profile {
	p := e.principal
	own := profile{name: h.profileName("own", fileName(p.name)), lines: [][2]string{{"region", p.site.Region}}}
	own.source = [][2]string{{"source_profile", own.name}}
	switch {
	case p.account:
		// Whoever of the account allows itself: the account's own profile.
		own.name, own.lines = configValue(strings.ReplaceAll(p.site.Profile, "]", "_")), nil
		own.source = [][2]string{{"source_profile", own.name}}
	case p.pods != nil && p.pods.podIdentity():
		own.about = "The role " + p.arn + ", in its pods: an agent on the node has its credentials."
		own.source = [][2]string{{"credential_source", "EcsContainer"}}
	case p.pods != nil:
		own.about = "The role " + p.arn + ", in its pods: EKS mounts a token."
		own.lines = append([][2]string{{"role_arn", p.arn}, {"web_identity_token_file", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}, {"role_session_name", sessionName(h.consumer + "-" + h.stage)}}, own.lines...)
	case p.role != nil && serviceSources[p.role.Create] != "":
		own.about = "The role " + p.arn + ", where " + p.role.Create + " runs the program: the SDK finds its credentials."
		own.source = [][2]string{{"credential_source", serviceSources[p.role.Create]}}
	default:
		own.about = "The role " + p.arn + ". Its own trust policy says who may use it; here that is the profile " + p.site.Profile + "."
		own.lines = append([][2]string{{"role_arn", p.arn}, {"source_profile", p.site.Profile}}, own.lines...)
	}
	return own
}

// readme says what the files of a consumer's stage are for.
func (h *clientHome) readme(snippets []*snippet) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Clients of %s (%s)\n\nMade by `crossaccount clients`. Every module renews its credentials by itself and can be run as it is or imported; `aws-config` is a part of `~/.aws/config`, and `cdk` has the consumer's roles.\n", markdownText(h.consumer), markdownText(h.stage))
	for _, s := range snippets {
		fmt.Fprintf(&b, "\n## %s\n\n%s %s of %s, a %s in stage %s.\n\n", markdownText(s.Grant), markdownText(upperFirst(s.Does)), markdownText(s.Resource), markdownText(s.Owner), s.Kind, markdownText(s.Stage))
		fmt.Fprintf(&b, "- Caller: %s\n", markdownText(s.Principal))
		if s.Assume != "" {
			fmt.Fprintf(&b, "- Assumes: %s\n", markdownCode(s.Assume))
			if s.ExternalID != "" {
				b.WriteString("- Sends the external ID that was agreed\n")
			}
		}
		fmt.Fprintf(&b, "- Region: %s\n", markdownCode(s.Region))
		if s.API != nil {
			fmt.Fprintf(&b, "- Address: %s\n", markdownCode(known(firstOf(s.API.URL.Default, "$"+s.API.URL.Name))))
			b.WriteString("- Headers: `Authorization`, `X-Amz-Date` and `X-Amz-Security-Token`, which the signer adds for the service `execute-api`\n")
		} else {
			fmt.Fprintf(&b, "- Example: %s\n", markdownCode(s.Operation.Action))
			for _, m := range s.Operation.Members {
				if m.List == "" {
					fmt.Fprintf(&b, "  - %s: %s\n", markdownCode(m.Name), markdownCode(firstOf(m.Value.Text, "$"+m.Value.Variable)))
				}
			}
		}
		for _, g := range s.Given {
			must := "must be"
			if g.Default != "" {
				must = "may be"
			}
			fmt.Fprintf(&b, "- The environment variable %s %s %s\n", markdownCode(g.Name), must, markdownText(g.Meaning))
		}
		for _, l := range clientLanguages() {
			if l.setup != nil {
				fmt.Fprintf(&b, "- %s: `%s`, after `%s`\n", l.title, strings.ReplaceAll(l.file, "*", s.File), l.setup(s))
			}
		}
	}
	return []byte(b.String())
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
