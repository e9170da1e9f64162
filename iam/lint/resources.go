package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

const (
	arnsPage     = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"
	resourcePage = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html"
)

var resourceRules = []Rule{
	{
		ID:       "GX-R01",
		Title:    "an ARN or a name in IAM is malformed",
		Why:      "AWS refuses the document, or the ARN names nothing",
		Fix:      "write arn:partition:service:region:account:resource",
		Link:     arnsPage,
		Severity: Error,
		check:    checkARNs,
	},
	{
		ID:       "GX-R02",
		Title:    "an action cannot be used on any of the statement's resources",
		Why:      "the action and the resource never meet in one request, so this part of the statement has no effect",
		Fix:      "name a resource of a type the action works on",
		Link:     actionsPage,
		Severity: Error,
		check:    checkResourceTypes,
	},
	{
		ID:       "GX-R03",
		Title:    "all resources are named where single ones could be",
		Why:      "the permission covers resources that nobody thought of",
		Fix:      "name the resources by ARN",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
		Severity: Warning,
		check:    checkAllResources,
	},
	{
		ID:       "GX-R05",
		Title:    "the ARN of a secret lacks its random end",
		Why:      "Secrets Manager adds a hyphen and six characters to every secret's name, so the bare name matches no secret and -* matches those of longer names too",
		Fix:      "end the ARN with -?????? (six question marks)",
		Link:     "https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples.html",
		Severity: Error,
		check:    checkSecretARNs,
	},
	{
		ID:       "GX-R09",
		Title:    "NotAction or NotResource is used with Allow",
		Why:      "everything that is not listed is allowed, also what AWS adds later",
		Fix:      "list what is allowed, or deny what is listed",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html",
		Severity: Warning,
		check:    checkNegatedAllow,
	},
}

func eachResource(r *reporter, visit func(path, resource string)) {
	r.statements(func(path string, s *iam.Statement) {
		values(path+".Resource", s.Resource, visit)
		values(path+".NotResource", s.NotResource, visit)
	})
}

func checkResourceTypes(r *reporter) {
	if r.options.Kind == iam.KindTrust {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		const maxPairs = 5000 // far more than a policy can hold; bounds the work on hostile input
		if len(s.Action) == 0 || len(s.Resource) == 0 || len(s.Action)*len(s.Resource) > maxPairs || slices.ContainsFunc(s.Resource, r.namesAnything) || slices.ContainsFunc(s.Resource, r.isMalformed) {
			return
		}
		fits := newFitting()
		usable := make([]bool, len(s.Resource)) // by some action
		undecided := false                      // some action is unknown, and may use any
		values(path+".Action", s.Action, func(path, action string) {
			var matches []*reference.Action
			if confusesStream(action, s) || slices.ContainsFunc(s.Resource, isAlias) && usesKey(action) || missesMethod(action, s) {
				undecided = true // GX-R06, GX-R07 and GX-R08
				return
			}
			if !allWildcards(action) && !iam.HasSymbol(action) && !r.isForeign(action) {
				matches = reference.Expand(action)
			}
			if len(matches) == 0 {
				undecided = true
				return
			}
			used := false
			for _, a := range matches {
				for i, resource := range s.Resource {
					if fits.action(a, resource) {
						used, usable[i] = true, true
					}
				}
			}
			if !used {
				r.reportMisfit(path, action, matches)
			}
		})
		if undecided {
			return
		}
		values(path+".Resource", s.Resource, func(path, resource string) {
			if i := indexOfPath(path); !usable[i] && slices.Contains(usable, true) {
				r.report(Warning, path, "remove the resource, or add an action that works on it", "no action of the statement works on %q", clip(resource))
			}
		})
	})
}

// namesAnything reports whether every action can be used on a resource.
func (r *reporter) namesAnything(resource string) bool {
	return allWildcards(resource) || r.isShorthand(resource) || iam.HasSymbol(resource) && len(iam.Pieces(resource)) == 1
}

// isMalformed recognises what GX-R01 reports.
func (r *reporter) isMalformed(resource string) bool {
	a, err := iam.ParseARN(resource)
	if err != nil {
		return !open(resource) && !hasWildcard(resource)
	}
	fault, _ := faultOfARN(a)
	return fault != "" || r.faultOfForm(a, resource) != ""
}

// wholeType matches the end of an ARN that stands for everything of a service or
// of one type: "*", "role/*", "log-group:*:*".
var wholeType = regexp.MustCompile(`^([A-Za-z0-9-]+[/:])?[*/:]*\*[*/:]*$`)

// fitting remembers which resource types a resource could be of, because the
// actions of a statement share most of their types.
type fitting struct {
	known map[fittingKey]bool
}

type fittingKey struct {
	t        *reference.ResourceType
	resource string
}

func newFitting() *fitting { return &fitting{known: make(map[fittingKey]bool)} }

// action reports whether a resource could be one that an action works on.
// Actions without resource types need "*"; some of them are in fact checked
// against an ARN that stands for everything, but none of EC2's.
//
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-policies-for-amazon-ec2.html
func (f *fitting) action(a *reference.Action, resource string) bool {
	const longestARN = 2048
	if len(resource) > longestARN {
		return true // no ARN at all; nothing is said about it here
	}
	if len(a.Resources) == 0 {
		arn, err := iam.ParseARN(resource)
		return err != nil || wholeType.MatchString(arn.Resource) && a.Service != "ec2"
	}
	for _, r := range a.Resources {
		key := fittingKey{r.Type, resource}
		fits, ok := f.known[key]
		if !ok {
			fits = r.Type.MatchesARN(resource)
			f.known[key] = fits
		}
		if fits {
			return true
		}
	}
	return false
}

func (r *reporter) reportMisfit(path, action string, matches []*reference.Action) {
	needs := make(map[string]bool)
	var templates []string
	for _, a := range matches {
		for _, t := range a.Resources {
			if !needs[t.Type.ARN] {
				needs[t.Type.ARN] = true
				templates = append(templates, t.Type.ARN)
			}
		}
	}
	if len(templates) == 0 {
		if r.options.Kind == iam.KindResource {
			return // GX-A03 judges what no resource policy can allow
		}
		r.report(Warning, path, `move the action into a statement with "Resource": "*"`, "%s works on no particular resource, and the statement names only particular ones", clip(action))
		return
	}
	const most = 4
	if len(templates) > most {
		templates = append(templates[:most], "…")
	}
	r.report(Error, path, "name a resource like "+strings.Join(templates, " or "), "%s does not work on the statement's resources", clip(action))
}

func indexOfPath(path string) int {
	number, _ := strings.CutSuffix(path[strings.LastIndexByte(path, '[')+1:], "]")
	n, _ := strconv.Atoi(number) // paths of lists always end in a number
	return n
}

// resourceKeys are condition keys that limit the resources of a statement as
// well as an ARN does. They are in lower case.
var resourceKeys = []string{"aws:resource", "resourcetag/", "kms:viaservice", "kms:resourcealiases", "kms:requestalias", "s3:resourceaccount", "sts:awsservicename", "iam:passedtoservice", "aws:calledvia"}

func checkAllResources(r *reporter) {
	if r.options.Kind != iam.KindIdentity {
		return
	}
	r.statements(func(path string, s *iam.Statement) {
		i := slices.IndexFunc(s.Resource, allWildcards)
		if s.Effect != iam.Allow || i < 0 || len(s.Action) == 0 || limitsResources(s) {
			return
		}
		// Within an account it is a matter of taste: AWS's own managed policies
		// name all resources, and other accounts cannot be reached so.
		severity := Info
		if r.options.CrossAccount {
			severity = Warning
		}
		narrowable := firstNarrowable(s.Action)
		if narrowable != "" {
			r.report(severity, fmt.Sprintf("%s.Resource[%d]", path, i), "", "all resources are named, but %s can be limited to single ones", narrowable)
		}
	})
}

// firstNarrowable returns an action that single resources could be named for,
// or "".
func firstNarrowable(actions []string) string {
	for _, action := range actions {
		if allWildcards(action) || iam.HasSymbol(action) {
			return clip(action)
		}
		for _, a := range reference.Expand(action) {
			if canBeNarrowed(a) {
				return a.String()
			}
		}
	}
	return ""
}

// canBeNarrowed reports whether every request for the action has a resource. A
// single resource type that is not required means that the action also works
// without any, which then needs "*".
func canBeNarrowed(a *reference.Action) bool {
	return len(a.Resources) > 1 || len(a.Resources) == 1 && a.Resources[0].Required
}

func limitsResources(s *iam.Statement) bool {
	for _, c := range s.Conditions {
		for _, key := range resourceKeys {
			if strings.Contains(strings.ToLower(c.Key), key) {
				return true
			}
		}
	}
	return false
}

func checkNegatedAllow(r *reporter) {
	switch r.options.Kind {
	case iam.KindServiceControl, iam.KindResourceControl, iam.KindBoundary, iam.KindEndpoint:
		return // they limit and grant nothing
	}
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow {
			return
		}
		if s.NotAction != nil {
			severity := Warning
			if r.options.Kind == iam.KindIdentity && excludesPowers(s) {
				severity = Info
			}
			r.report(severity, path+".NotAction", "", "NotAction with Allow allows every action that is not listed")
		}
		if s.NotResource != nil {
			r.report(Warning, path+".NotResource", "", "NotResource with Allow allows every resource that is not listed")
		}
	})
}

// excludesPowers reports whether a statement with NotAction cannot be used to get
// more permissions: it leaves out IAM, or reaches only the resources of one
// service. AWS's PowerUserAccess and the examples of its page are such.
func excludesPowers(s *iam.Statement) bool {
	if slices.ContainsFunc(s.NotAction, func(action string) bool { return strings.EqualFold(action, "iam:*") }) {
		return true
	}
	return len(s.Resource) > 0 && !slices.ContainsFunc(s.Resource, func(resource string) bool {
		a, err := iam.ParseARN(resource)
		return err != nil || a.Service == "iam" || open(a.Service)
	})
}

var secretEnd = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

func checkSecretARNs(r *reporter) {
	eachResource(r, func(path, resource string) {
		a, err := iam.ParseARN(resource)
		if err != nil || a.Service != "secretsmanager" || !strings.HasPrefix(a.Resource, "secret:") || open(a.Resource) {
			return
		}
		switch {
		case strings.HasSuffix(a.Resource, "-*"):
			r.report(Warning, path, "", "%q also matches secrets whose names begin like this one", clip(resource))
		case !hasWildcard(a.Resource) && !secretEnd.MatchString(a.Resource):
			r.report(Error, path, "", "%q has no hyphen and six characters at its end, so it matches no secret", clip(resource))
		}
	})
}
