package setup

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Levels of permissions, from the least to the most powerful.
const (
	levelRead        = "read"
	levelWrite       = "write"
	levelPermissions = "permissions"
)

var levels = []string{levelRead, levelWrite, levelPermissions}

const (
	maxSentences = 6 // services that are named one by one
	maxResources = 4 // ARNs that are listed
	maxResource  = 120
)

// Describe says in words what a statement of an identity policy allows, from the
// access levels that AWS gives its actions. Actions that AWS's reference does
// not know are named as they are.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_understand-policy-summary-access-level-summaries.html
func Describe(s iam.Statement) Permission {
	p := Permission{Title: spaced(s.Sid), Deny: s.Effect == iam.Deny, Level: levelRead, Conditions: len(s.Conditions) > 0}
	var prefixes []string
	found := map[string]map[reference.AccessLevel]bool{} // :: service prefix → levels of its actions
	for _, pattern := range s.Action {
		for _, action := range reference.Expand(pattern) {
			if found[action.Service] == nil {
				found[action.Service] = map[reference.AccessLevel]bool{}
				prefixes = append(prefixes, action.Service)
			}
			found[action.Service][action.Level] = true
			p.Level = higher(p.Level, action.Level)
		}
		if !reference.MatchesAction(pattern) {
			p.Level = levelWrite // nobody knows what it does
			p.Sentences = append(p.Sentences, say("grant.unknown_action", pattern))
		}
	}
	if len(prefixes) > maxSentences {
		all := map[reference.AccessLevel]bool{}
		for _, prefix := range prefixes {
			for level := range found[prefix] {
				all[level] = true
			}
		}
		p.Sentences = append(p.Sentences, say("grant.many_services", verbs(all), fmt.Sprint(len(prefixes))))
	} else {
		for _, prefix := range prefixes {
			p.Sentences = append(p.Sentences, say("grant.in_service", verbs(found[prefix]), serviceName(prefix)))
		}
	}
	for _, resource := range s.Resource {
		if resource == "*" {
			p.Anywhere = true
		}
	}
	if !p.Anywhere {
		for _, resource := range s.Resource {
			p.Resources = append(p.Resources, shortened(iam.ReplaceSymbols(resource, func(id string) string { return "${" + id + "}" })))
		}
		if len(p.Resources) > maxResources {
			p.More = len(p.Resources) - maxResources
			p.Resources = p.Resources[:maxResources]
		}
	}
	return p
}

// shortened keeps an ARN that somebody wrote from filling the page. The policy
// shows it in full.
func shortened(text string) string {
	if runes := []rune(text); len(runes) > maxResource {
		return string(runes[:maxResource]) + "…"
	}
	return text
}

// verbs joins what the levels let one do.
func verbs(levels map[reference.AccessLevel]bool) string {
	var parts []string
	for _, level := range []reference.AccessLevel{
		reference.LevelRead, reference.LevelList, reference.LevelWrite, reference.LevelTagging, reference.LevelPermissionsManagement,
	} {
		if levels[level] {
			parts = append(parts, english["level."+level.String()])
		}
	}
	text := joined(parts)
	first := []rune(text)
	if len(first) > 0 {
		first[0] = unicode.ToUpper(first[0])
	}
	return string(first)
}

func joined(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], english["list.comma"]) + english["list.and"] + parts[last]
}

func higher(level string, action reference.AccessLevel) string {
	switch {
	case action == reference.LevelPermissionsManagement:
		return levelPermissions
	case level != levelPermissions && (action == reference.LevelWrite || action == reference.LevelTagging):
		return levelWrite
	}
	return level
}

// power returns the rank of the most that the permissions allow, -1 if nothing.
func power(permissions []Permission) int {
	most := -1
	for _, p := range permissions {
		if !p.Deny {
			most = max(most, slices.Index(levels, p.Level))
		}
	}
	return most
}

// Level is the most that the phase allows, "" if that is nothing.
func (p Phase) Level() string {
	if most := power(p.Permissions); most >= 0 {
		return levels[most]
	}
	return ""
}

// SetupIsMore reports whether the setup permissions are more powerful than the
// ongoing ones.
func (g *Grants) SetupIsMore() bool { return power(g.Setup.Permissions) > power(g.Ongoing.Permissions) }

// spaced makes words of a Sid: "ReadS3Reports" becomes "Read S3 reports".
func spaced(sid string) string {
	runes := []rune(sid)
	var words []string
	start := 0
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			word := string(runes[start:i])
			if len(words) > 0 && i-start > 1 && unicode.IsLower(runes[start+1]) {
				word = strings.ToLower(word)
			}
			words = append(words, word)
			start = i
		}
	}
	return strings.Join(words, " ")
}

// serviceName returns what AWS calls a service, or its prefix if we have no
// name for it.
func serviceName(prefix string) string {
	if name := serviceNames[prefix]; name != "" {
		return name
	}
	return prefix
}
