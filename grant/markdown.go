package grant

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown returns PLAN.md: what will be created where, in which order, and what
// each grant means.
func (p *Plan) Markdown() []byte {
	var b strings.Builder
	b.WriteString("# Plan\n\n")
	fmt.Fprintf(&b, "%s, made by `crossaccount compile` from a manifest. Change the manifest, not these files.\n", counted(len(p.Grants), "grant in a stage", "grants in stages"))
	if p.Format != Policies {
		b.WriteString("\n`./deploy.sh` deploys everything in this order and can be run again after a failure; `./remove.sh` removes it in reverse.\n")
	}
	if len(p.Before) > 0 {
		b.WriteString("\n## Before the first wave\n\nThese must exist:\n\n")
		for _, s := range p.Before {
			fmt.Fprintf(&b, "- %s\n", s)
		}
	}
	if len(p.Warnings) > 0 {
		b.WriteString("\n## Worth a second look\n\n")
		for _, w := range p.Warnings {
			fmt.Fprintf(&b, "- %s\n", w)
		}
	}
	for _, w := range p.Waves {
		fmt.Fprintf(&b, "\n## Wave %d\n", w.Number)
		for _, s := range w.Stacks {
			p.stackMarkdown(&b, s)
		}
	}
	if len(p.Kubernetes) > 0 {
		b.WriteString("\n## Kubernetes\n\nAfter the last wave, in each cluster. Pods get the role when they start; those that run must be made anew.\n\n```sh\n")
		for _, k := range p.Kubernetes {
			fmt.Fprintf(&b, "kubectl --context %s apply -f %s\n", word(k.Cluster), word(k.Path))
		}
		b.WriteString("```\n")
	}
	b.WriteString("\n## Removal\n\nThe last wave first:\n\n```sh\n")
	for i := len(p.Waves) - 1; i >= 0; i-- {
		for n := len(p.Waves[i].Stacks) - 1; n >= 0; n-- {
			for _, c := range p.DeleteCommands(p.Waves[i].Stacks[n]) {
				b.WriteString(c + "\n")
			}
		}
	}
	b.WriteString("```\n\n")
	b.WriteString("The policy of a resource is one document. Removing a stack removes it as a whole, statements under `keep` included.\n")
	p.grantsMarkdown(&b)
	p.weighingsMarkdown(&b)
	return []byte(b.String())
}

func (p *Plan) stackMarkdown(b *strings.Builder, s *Stack) {
	fmt.Fprintf(b, "\n### %s\n\n", s.Name)
	fmt.Fprintf(b, "Account %s (%s), %s, stage %s. Serves %s.\n", s.Account, s.AccountID, s.Region, s.Stage, strings.Join(s.Grants, ", "))
	if s.Template != nil && p.Format != Policies {
		b.WriteString("\n")
		for _, r := range s.Template.Resources {
			fmt.Fprintf(b, "- %s `%s`\n", r.Kind.Type(), r.ID)
		}
	}
	for _, a := range s.Applies {
		fmt.Fprintf(b, "- %s: `%s/%s`\n", a.Title, s.Directory, a.File)
	}
	for _, in := range s.Inputs {
		fmt.Fprintf(b, "\nThe parameter `%s` gets %s.\n", in.Parameter, in.origin())
	}
	if commands := p.DeployCommands(s); len(commands) > 0 {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.Join(commands, "\n"))
	}
}

func (p *Plan) grantsMarkdown(b *strings.Builder) {
	b.WriteString("\n## Grants\n")
	stagesOf := map[string][]string{}
	for _, g := range p.Grants {
		stagesOf[g.Grant] = append(stagesOf[g.Grant], fmt.Sprintf("%s → %s", g.Stage, g.ConsumerStage))
	}
	for _, g := range p.Grants {
		stages := stagesOf[g.Grant]
		if stages == nil {
			continue // told already
		}
		delete(stagesOf, g.Grant)
		fmt.Fprintf(b, "\n### %s\n\n", g.Grant)
		fmt.Fprintf(b, "%s may %s the %s %q of %s, in %s.\n\n", g.Consumer, strings.Join(g.Access, ", "), kindByName(g.Kind).title, g.Resource, g.App, strings.Join(stages, ", "))
		fmt.Fprintf(b, "- Actions: %s\n", "`"+strings.Join(g.Actions, "`, `")+"`")
		fmt.Fprintf(b, "- How: %s. %s.\n", map[string]string{"policy": "through the resource's policy", "role": "through a role", "trust": "by assuming the role"}[g.Via], upperFirst(g.Why))
		fmt.Fprintf(b, "- Weighed: see [%s](#%s) below.\n", g.Weighed, strings.ReplaceAll(g.Weighed, " ", "-"))
		fmt.Fprintf(b, "- Recognised by: %s\n", trustMeaning[g.Trust])
		for _, w := range g.Waivers {
			fmt.Fprintf(b, "- Accepted: %s\n", w)
		}
		fmt.Fprintf(b, "- Who depends on whom: %s stops working if %s removes or renames %q, or this grant.\n", g.Consumer, g.App, g.Resource)
		b.WriteString("- To revoke: remove the grant from the manifest, compile and deploy again. Calls are refused as soon as the policies change")
		if g.Assume != "" {
			b.WriteString("; sessions of the assumed role that have begun keep what the role may do until they end, an hour at most unless the role allows more")
		}
		b.WriteString(".\n")
		for _, c := range kindByName(g.Kind).caveats {
			fmt.Fprintf(b, "- Know: %s\n", c)
		}
	}
}

// weighingsMarkdown tells once for each way that grants take what it means.
func (p *Plan) weighingsMarkdown(b *strings.Builder) {
	b.WriteString("\n## What was weighed\n")
	for _, key := range sortedKeys(p.Weighings) {
		w := p.Weighings[key]
		fmt.Fprintf(b, "\n### %s\n\n", key)
		for _, part := range []struct {
			word string
			list []string
		}{{"For", w.For}, {"Against", w.Against}, {"Instead", w.Instead}} {
			for _, s := range part.list {
				fmt.Fprintf(b, "- %s: %s\n", part.word, s)
			}
		}
	}
}

// trustMeaning explains how a consumer is recognised.
var trustMeaning = map[string]string{
	"named":        "the ARN of its role, which IAM replaces by the role's unique id: the role must exist first, and loses access when it is created anew.",
	"matched":      "its account, with the condition `aws:PrincipalArn` on the role's ARN: nothing must exist first, and a role that is created anew keeps access.",
	"organization": "its AWS organization (`aws:PrincipalOrgID`): every account in it that allows its own principals. A deliberate choice.",
	"account":      "its account: whoever that account allows. A deliberate choice.",
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// An AccessDescription says what a word of access means.
type AccessDescription struct {
	Word     string   `json:"word"`
	Meaning  string   `json:"meaning"`
	ReadOnly bool     `json:"read_only"`
	Actions  []string `json:"actions"`               // in both accounts' policies
	Consumer []string `json:"consumer,omitempty"`    // only in the consumer's: no resource can grant them
	Key      []string `json:"key_actions,omitempty"` // on the key that encrypts the resource
}

// A KindDescription is what "crossaccount explain" tells about a kind.
type KindDescription struct {
	Kind       string              `json:"kind"`
	Title      string              `json:"title"`
	Page       string              `json:"page"`
	Access     []AccessDescription `json:"access"`
	Narrowing  []string            `json:"narrowing,omitempty"`
	Ways       []Way               `json:"ways"`                 // to give the access
	Policy     string              `json:"policy"`               // how its policy is written
	Encryption string              `json:"encryption,omitempty"` // what is assumed if the manifest does not say
	Limits     []string            `json:"limits,omitempty"`
	Caveats    []string            `json:"caveats"`
}

// Describe returns what is known about a kind of resource, from the tables that
// the compiler uses. It reports false if there is no such kind.
func Describe(name string) (KindDescription, bool) {
	k := kindByName(name)
	if k == nil {
		return KindDescription{}, false
	}
	d := KindDescription{Kind: k.name, Title: k.title, Page: k.page, Narrowing: k.narrowable(), Encryption: k.encryption, Caveats: k.caveats, Policy: k.policyDescription(), Limits: k.limits(), Ways: k.ways()}
	for _, a := range k.accesses {
		one := AccessDescription{Word: a.word, Meaning: a.doc, ReadOnly: a.readOnly, Key: a.key}
		for _, r := range a.rights {
			if r.side == consumerSide {
				one.Consumer = append(one.Consumer, r.actions...)
			} else {
				one.Actions = append(one.Actions, r.actions...)
			}
		}
		slices.Sort(one.Actions)
		one.Actions = slices.Compact(one.Actions)
		d.Access = append(d.Access, one)
	}
	return d, true
}
