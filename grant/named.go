package grant

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// A naming is what names of a kind of resource look like, in the words of AWS.
type naming struct {
	pattern *regexp.Regexp
	limit   int
	words   string
	page    string
}

func namingOf(pattern string, limit int, words, page string) naming {
	return naming{regexp.MustCompile("^(?:" + pattern + ")$"), limit, words, page}
}

// namings are the rules for names that AWS would refuse otherwise, after the
// policies are written.
var namings = map[string]naming{
	"sqs-queue":      namingOf(`[A-Za-z0-9_-]+(\.fifo)?`, 80, "letters, digits, hyphens and underscores, with .fifo at the end of FIFO queues", "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html"),
	"sns-topic":      namingOf(`[A-Za-z0-9_-]+(\.fifo)?`, 256, "letters, digits, hyphens and underscores, with .fifo at the end of FIFO topics", "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"),
	"secret":         namingOf(`[A-Za-z0-9/_+=.@-]+`, 512, "letters, digits and /_+=.@-", "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html"),
	"kinesis-stream": namingOf(`[A-Za-z0-9_.-]+`, 128, "letters, digits, hyphens, underscores and dots", "https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html"),
	"dynamodb-table": namingOf(`[A-Za-z0-9_.-]{3,}`, 255, "at least 3 letters, digits, hyphens, underscores and dots", "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html"),
	"lambda-function": namingOf(`[A-Za-z0-9_-]+`, 64, "letters, digits, hyphens and underscores; aliases go to only.qualifier",
		"https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"),
	"event-bus": namingOf(`[A-Za-z0-9_./-]+`, 256, "letters, digits, dots, hyphens, underscores and slashes", "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html"),
	"ecr-repository": namingOf(`([a-z0-9]+([._-]+[a-z0-9]+)*/)*[a-z0-9]+([._-]+[a-z0-9]+)*`, 256, "lower-case letters, digits, and dots, hyphens, underscores and slashes between them",
		"https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html"),
	"codeartifact-repository": namingOf(`[A-Za-z0-9][A-Za-z0-9._-]+`, 100, "letters, digits, dots, hyphens and underscores", "https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_CreateRepository.html"),
}

// idPatterns are what the ids look like that AWS gives.
var idPatterns = map[string]*regexp.Regexp{
	"kms-key":  regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`),
	"rest-api": regexp.MustCompile(`^[a-z0-9]{6,32}$`),
	"http-api": regexp.MustCompile(`^[a-z0-9]{6,32}$`),
}

// checkName reports a name or id that AWS would not take. at is where it is
// written.
func (x *expander) checkName(i *instance, at string) bool {
	var err error
	n, ruled := namings[i.kind.name]
	switch {
	case i.kind.name == "s3-bucket" && i.physical != "":
		err = reference.CheckBucketName(i.physical)
	case i.kind.name == "role" && i.physical != "":
		err = reference.CheckRoleName(i.physical)
	case ruled && i.physical != "" && (len(i.physical) > n.limit || !n.pattern.MatchString(i.physical)):
		err = fmt.Errorf("names of %ss have %s, at most %d characters (%s)", i.kind.title, n.words, n.limit, n.page)
	}
	if err != nil {
		x.report(x.m.problem(RuleValue, at, "copy the name as the console shows it", "the name %q cannot be that of %s: %v", clip(i.physical), i.kind.one(), err))
		return false
	}
	if p := idPatterns[i.kind.name]; p != nil && i.id != "" && !iam.HasSymbol(i.id) && !p.MatchString(i.id) {
		rule, remedy := RuleValue, "copy the id as the console shows it"
		if strings.HasPrefix(i.id, "alias/") {
			rule, remedy = "GX-R07", "use the key's id: aliases mean nothing in other accounts, nor in a key's policy"
		}
		x.report(x.m.problem(rule, at, remedy, "%q is no id of %s", clip(i.id), i.kind.one()))
		return false
	}
	return true
}

// checkOwners checks what becomes the tag owner.
func (v *validator) checkOwners() {
	check := func(at, owner string) {
		if err := reference.CheckTag("owner", owner); err != nil {
			v.report(v.m.problem(RuleValue, at, "shorten it, or leave out what tags cannot have", "it becomes a tag: %v", err))
		}
	}
	check("owner", v.m.Owner)
	for _, name := range sortedKeys(v.m.Apps) {
		check("apps."+name+".owner", v.m.Apps[name].Owner)
	}
	for _, name := range sortedKeys(v.m.Consumers) {
		check("consumers."+name+".owner", v.m.Consumers[name].Owner)
	}
	for _, name := range sortedKeys(v.m.Resources) {
		check("resources."+name+".owner", v.m.Resources[name].Owner)
	}
}

// checkWaivers refuses waivers of rules that there are not: they would waive
// nothing.
func (v *validator) checkWaivers(at string, g *Grant) {
	for i, w := range g.Waive {
		for n, stage := range w.Stages {
			here := fmt.Sprintf("%s.waive[%d].stages[%d]", at, i, n)
			if _, known := v.m.stages()[stage]; !known {
				v.report(v.m.unknown(here, "stage", stage, v.m.stageNames()))
			} else if len(g.Stages) > 0 && !slices.Contains(g.Stages, stage) {
				v.report(v.m.problem(RuleReference, here, "name a stage of the grant: "+strings.Join(g.Stages, ", "), "the grant has no stage %q", stage))
			}
		}
		if knownRule(w.Rule) {
			continue
		}
		v.report(v.m.problem(RuleReference, fmt.Sprintf("%s.waive[%d].rule", at, i), "crossaccount lint --help tells the rules; GX-B06 is about stages, GX-P02 about whole accounts", "there is no rule %q", w.Rule))
	}
}

func knownRule(id string) bool {
	return id == RuleStage || slices.ContainsFunc(lint.Rules(), func(r lint.Rule) bool { return r.ID == id })
}

// checkOnly refuses texts in a narrowing that would mean something else than
// they say.
func (v *validator) checkOnly(at string, n *Narrowing, k *kind) {
	for i, p := range n.Prefixes {
		if text := strings.TrimSuffix(p, "*"); text == "" || strings.ContainsAny(text, "*?") {
			v.report(v.m.problem(RuleNarrowing, fmt.Sprintf("%s.only.prefixes[%d]", at, i), "give the beginning of the keys, such as reports/", "%q is no prefix: it has wildcards, or is for everything", clip(p)))
		}
	}
	v.checkExact(at, n, k)
	for field, list := range map[string][]string{"prefixes": n.Prefixes, "keys": n.Keys, "paths": n.Paths, "attributes": n.Attributes, "sources": n.Sources, "detail_types": n.DetailTypes} {
		for i, text := range list {
			if strings.Contains(text, "${") {
				v.report(v.m.problem(RuleNarrowing, fmt.Sprintf("%s.only.%s[%d]", at, field, i), "write the value itself", "variables of policies differ by caller, and what they would allow cannot be shown"))
			}
		}
	}
}

// What parts of resources are called, where a wildcard would mean more than one
// of them or nothing at all.
var (
	indexNames = namingOf(`[A-Za-z0-9_.-]{3,}`, 255, "", "")
	qualifiers = namingOf(`\$LATEST|[A-Za-z0-9_-]+`, 128, "", "")
	apiStages  = namingOf(`\$default|[A-Za-z0-9_-]+`, 128, "", "")
	apiPaths   = namingOf(`[A-Za-z0-9._~!&'()*+,;=:@%/-]+`, 1024, "", "")
)

// checkExact refuses wildcards where a value is compared letter by letter, and
// where names of parts are wanted.
func (v *validator) checkExact(at string, n *Narrowing, k *kind) {
	refuse := func(field string, i int, remedy, format string, args ...any) {
		if i >= 0 {
			field = fmt.Sprintf("%s[%d]", field, i)
		}
		v.report(v.m.problem(RuleNarrowing, at+".only."+field, remedy, format, args...))
	}
	applies := func(field string) bool { return slices.Contains(k.narrowable(), field) } // others are reported
	for _, exact := range []struct {
		field string
		list  []string
	}{{"keys", n.Keys}, {"attributes", n.Attributes}, {"versions", n.Versions}, {"sources", n.Sources}, {"detail_types", n.DetailTypes}, {"protocols", n.Protocols}} {
		for i, text := range exact.list {
			if applies(exact.field) && strings.ContainsAny(text, "*?") {
				refuse(exact.field, i, "give each value in full", "%q is compared letter by letter, and * or ? stand for themselves", clip(text))
			}
		}
	}
	for _, key := range sortedKeys(n.ObjectTags) {
		if value := n.ObjectTags[key]; !applies("object_tags") {
			break
		} else if strings.ContainsAny(value, "*?") {
			refuse("object_tags."+key, -1, "give the value in full", "%q is compared letter by letter, and * or ? stand for themselves", clip(value))
		} else if err := reference.CheckTag(key, value); err != nil {
			refuse("object_tags."+key, -1, "give the tag as S3 shows it", "objects cannot have this tag: %v", err)
		}
	}
	for _, part := range []struct {
		field, remedy, noun string
		list                []string
		naming
	}{
		{"indexes", "name each index", "the name of an index", n.Indexes, indexNames},
		{"api_stages", "name each stage of the API", "the name of an API's stage", n.APIStages, apiStages},
		{"paths", "write paths as callers do, with * where any text may stand, also for a variable such as {id}", "a path", n.Paths, apiPaths},
	} {
		for i, text := range part.list {
			if applies(part.field) && (!part.pattern.MatchString(text) || len(text) > part.limit) {
				refuse(part.field, i, part.remedy, "%q cannot be %s", clip(text), part.noun)
			}
		}
	}
	if q := n.Qualifier; q != "" && applies("qualifier") && (!qualifiers.pattern.MatchString(q) || len(q) > qualifiers.limit) {
		refuse("qualifier", -1, "name one alias or version", "%q cannot be an alias or version", clip(q))
	}
}

// httpMethods are those that API Gateway knows.
var httpMethods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

// checkMethods refuses methods that the access does not have: narrowing must
// never give more, and a word of access that is left with nothing is a mistake.
func (v *validator) checkMethods(at string, g *Grant, k *kind) {
	if !slices.Contains(k.narrowable(), "methods") {
		return // reported
	}
	here := at + ".only.methods"
	covered := map[string]bool{}
	for i, word := range g.Access {
		a := k.access(word)
		if a == nil || len(g.Only.Methods) == 0 {
			continue
		}
		left := a.methodsIn(g.Only.Methods)
		if len(left) == 0 {
			v.report(v.m.problem(RuleNarrowing, fmt.Sprintf("%s.access[%d]", at, i), "remove the word, or add one of its methods", "only.methods has none of the methods of the access %q, which are %s", word, strings.Join(a.methods, ", ")))
		}
		for _, m := range left {
			covered[m] = true
		}
	}
	for i, m := range g.Only.Methods {
		switch m = strings.ToUpper(m); {
		case !slices.Contains(httpMethods, m):
			v.report(v.m.problem(RuleNarrowing, fmt.Sprintf("%s[%d]", here, i), "use some of "+strings.Join(httpMethods, ", "), "%q is no method of HTTP", clip(m)))
		case !covered[m]:
			v.report(v.m.problem(RuleNarrowing, fmt.Sprintf("%s[%d]", here, i), "remove it, or add a word to access that has it: crossaccount explain "+k.name, "%s is no method of the access %s", m, strings.Join(g.Access, ", ")))
		}
	}
}

// methodsIn returns those of a list of methods that an access has.
func (a *access) methodsIn(list []string) []string {
	var out []string
	for _, m := range list {
		if m = strings.ToUpper(m); slices.Contains(httpMethods, m) && (slices.Contains(a.methods, m) || slices.Contains(a.methods, "*")) {
			out = append(out, m)
		}
	}
	return out
}

// checkManaged checks a managed policy of a role that is created: policies are
// attached within an account, or are AWS's own.
func (x *expander) checkManaged(at, policy string, s *site) {
	arn, err := iam.ParseARN(policy)
	switch {
	case policy == "" || err != nil:
	case arn.Partition != s.Partition:
		x.report(x.m.problem(RuleRegion, at, "use the partition of the role's account", "%s is in another partition than the account %s", policy, s.Account))
	case arn.Account != "aws" && arn.Account != s.ID:
		x.report(x.m.problem("GX-R04", at, "use a policy of that account, or one of AWS", "%s belongs to another account than the role, which is in %s (%s)", policy, s.Account, s.ID))
	}
}
