package smoke

import (
	"context"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// neighbours makes requests that differ in one thing from those declared. What
// another grant gives is no neighbour.
func (y *trying) neighbours(ctx context.Context) {
	t := y.trial
	if t.Given.Assume != "" {
		y.roleNeighbours(ctx)
	}
	user := t.Given.Assume
	if user == "" {
		user = t.Principal
	}
	if y.as[user] == nil {
		return
	}
	y.otherActions(ctx, user)
	y.otherParts(ctx, user)
	if t.Given.Assume == "" {
		y.otherResources(ctx, user)
		y.otherPrincipal(ctx)
	}
}

// roleNeighbours tries to assume the role without the external ID, and the role
// of another stage.
func (y *trying) roleNeighbours(ctx context.Context) {
	t := y.trial
	who := y.as[t.Principal]
	note := func(what, role, externalID string) {
		a := Attempt{Case: what, Principal: t.Principal, Action: "sts:AssumeRole", Resource: role, Want: Refused}
		y.assume(ctx, &a, who, externalID)
		y.result.Attempts = append(y.result.Attempts, a)
	}
	if t.ExternalID != "" {
		note("without the external ID", t.Given.Assume, "")
		note("another external ID", t.Given.Assume, t.ExternalID+"x")
		if flipped := flip(t.ExternalID); flipped != t.ExternalID {
			note("the external ID in other case", t.Given.Assume, flipped)
		}
	}
	for i := range y.trials {
		other := &y.trials[i]
		if other.Grant == t.Grant && other.Stage != t.Stage && other.Given.Assume != "" && !y.granted(ctx, t.Principal, "sts:AssumeRole", other.Given.Assume) {
			note("stage "+other.Stage, other.Given.Assume, other.ExternalID)
			break
		}
	}
	if y.base != who && !wide(t) {
		if base := y.base.arn; !y.granted(ctx, base, "sts:AssumeRole", t.Given.Assume) {
			a := Attempt{Case: "another principal of the account", Principal: base, Action: "sts:AssumeRole", Resource: t.Given.Assume, Want: Refused}
			y.assume(ctx, &a, y.base, t.ExternalID)
			y.result.Attempts = append(y.result.Attempts, a)
		}
	}
}

// flip changes the case of letters.
func flip(s string) string {
	return strings.Map(func(r rune) rune {
		if lower := strings.ToLower(string(r)); lower != string(r) {
			return rune(lower[0])
		}
		return rune(strings.ToUpper(string(r))[0])
	}, s)
}

// wide reports whether a grant is for a whole account or organization.
func wide(t *grant.Trial) bool { return t.Trust == "account" || t.Trust == "organization" }

// otherActions tries one action on the same resource that no grant gives.
func (y *trying) otherActions(ctx context.Context, user string) {
	tried := map[string]bool{}
	for _, d := range y.trial.Declared {
		prefix, _, _ := strings.Cut(d.Action, ":")
		if d.Companion || services[prefix] == nil || tried[prefix] || d.Resource == "*" {
			continue
		}
		pattern, missing := y.concrete(ctx, d.Resource)
		if missing != "" {
			continue
		}
		for _, action := range services[prefix].others {
			resource := y.resourceFor(action, pattern)
			if resource == "" || y.granted(ctx, user, action, resource) {
				continue
			}
			tried[prefix] = true
			a := y.attempt(ctx, Attempt{Case: "another action", Principal: user, Action: action, Resource: resource, Want: Refused}, "", y.trial)
			if a.Outcome == NotTried {
				y.result.Attempts = y.result.Attempts[:len(y.result.Attempts)-1]
				tried[prefix] = false
				continue
			}
			break
		}
	}
}

// resourceFor returns the resource of another action, near the one of a pattern:
// buckets for actions on buckets, objects for those on objects.
func (y *trying) resourceFor(action, pattern string) string {
	switch y.trial.Kind {
	case "s3-bucket":
		bucket, _, _ := strings.Cut(parts(pattern).Resource, "/")
		arn := "arn:" + y.trial.Owner.Partition + ":s3:::" + bucket
		if onObjects[action] {
			return arn + "/" + probeName
		}
		return arn
	case "dynamodb-table":
		table, _, _ := strings.Cut(pattern, "/index/")
		if strings.Contains(table, "/stream/") {
			table, _, _ = strings.Cut(table, "/stream/")
		}
		return table
	case "kinesis-stream":
		stream, _, _ := strings.Cut(pattern, "/consumer/")
		return stream
	case "state-machine":
		if strings.Contains(pattern, ":execution:") {
			return ""
		}
	case repositoryKind:
		if !strings.Contains(pattern, ":repository/") {
			return ""
		}
		if action == "codeartifact:PublishPackageVersion" {
			return strings.Replace(sample(pattern), ":repository/", ":package/", 1) + "/npm/" + probeName + "/" + probeName
		}
	}
	return sample(pattern)
}

// otherParts tries parts of the resource that the grant leaves out.
func (y *trying) otherParts(ctx context.Context, user string) {
	t := y.trial
	for _, d := range t.Declared {
		pattern, missing := y.concrete(ctx, d.Resource)
		if d.Companion || missing != "" {
			continue
		}
		try := func(what, action, resource string, only grant.Narrowing) {
			if y.granted(ctx, user, action, resource) {
				return
			}
			of := *t
			of.Only = only
			y.attempt(ctx, Attempt{Case: what, Principal: user, Action: action, Resource: resource, Want: Refused}, "", &of)
		}
		switch {
		case d.Action == "s3:GetObject" && len(t.Only.Prefixes) > 0:
			bucket, _, _ := strings.Cut(pattern, "/")
			try("an object outside the prefixes", d.Action, bucket+"/"+probeName, grant.Narrowing{})
			return
		case d.Action == "execute-api:Invoke":
			for _, other := range y.otherRequests(pattern) {
				try(other.what, d.Action, other.resource, t.Only)
			}
			y.unsigned(ctx, user)
			return
		case d.Action == "dynamodb:GetItem" && len(t.Only.Keys) > 0 && y.known.indexKey("") != nil:
			of := *t
			of.Only = grant.Narrowing{Attributes: t.Only.Attributes}
			y.attempt(ctx, Attempt{Case: "another partition key", Principal: user, Action: d.Action, Resource: pattern, Want: Refused}, "", &of)
			return
		case d.Action == "codeartifact:ReadFromRepository":
			if other := y.anotherRepository(ctx, user, pattern); other != "" {
				known := y.known
				y.known = known.without()
				y.known.repository = other // its owner says that it is there
				try("another repository of the domain", d.Action, other, t.Only)
				y.known = known
			}
			return
		case strings.HasPrefix(d.Action, "states:Start"):
			y.absentMachine(ctx, user, d.Action, pattern)
			return
		case d.Action == "secretsmanager:GetSecretValue" && len(t.Only.Versions) > 0:
			of := *t
			of.Only = grant.Narrowing{Versions: []string{"AWSPENDING"}}
			y.attempt(ctx, Attempt{Case: "another version", Principal: user, Action: d.Action, Resource: pattern, Want: Refused}, "", &of)
			return
		}
	}
}

// unsigned calls an API without a signature, which AWS refuses with another
// error; it counts if the same request with one was allowed.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-key-source.html
func (y *trying) unsigned(ctx context.Context, user string) {
	for _, d := range y.result.Attempts {
		if d.Case != "declared" || d.Outcome != Allowed || d.Action != "execute-api:Invoke" {
			continue
		}
		a := Attempt{Case: "without a signature", Principal: "anybody", Action: d.Action, Resource: d.Resource, Want: Refused}
		request, why := apiRequest(y.target(&a, "", y.trial))
		if why != "" || !safeMethods[request.method] {
			continue
		}
		request.bare = true
		answer, err := y.as[user].send(ctx, request, y.trial.Owner.Region, suffixOf(y.trial.Owner.Partition))
		switch {
		case err != nil:
			a.Outcome, a.Reason = Inconclusive, err.Error()
		case answer.code == "MissingAuthenticationTokenException" || answer.status == http.StatusForbidden && request.method == http.MethodHead:
			a.Outcome, a.Code = Refused, answer.code
		default:
			y.judge(&a, answer, &call{action: a.Action})
		}
		y.result.Attempts = append(y.result.Attempts, a)
		return
	}
}

// otherResources tries what the grant gives on the same resource of another
// stage, and on another resource of the kind.
func (y *trying) otherResources(ctx context.Context, user string) {
	t := y.trial
	stage, other := false, false
	order := make([]*grant.Trial, 0, 2*len(y.trials))
	for i := range y.trials { // the consumer's own stage first
		if y.trials[i].Stage == t.Stage {
			order = append(order, &y.trials[i])
		}
	}
	for i := range y.trials {
		order = append(order, &y.trials[i])
	}
	for _, o := range order {
		same := o.Grant == t.Grant && o.Stage != t.Stage
		if o.Kind != t.Kind || same && stage || !same && other || o.Given.Resource == t.Given.Resource && o.Stage == t.Stage {
			continue
		}
		for _, d := range o.Declared {
			if d.Companion || d.Action == "sts:AssumeRole" || d.Resource == "*" {
				continue
			}
			pattern, missing := y.concreteOf(ctx, d.Resource, o)
			if missing != "" {
				break
			}
			resource, why := sample(pattern), ""
			if d.Action == "execute-api:Invoke" {
				resource, why = y.anAPIRequest(pattern, o)
			}
			if why != "" || y.granted(ctx, user, d.Action, resource) || y.seen(d.Action, resource) {
				continue
			}
			what := "stage " + o.Stage
			if !same {
				what = "another resource, " + o.Given.Resource + " in " + o.Stage
			}
			known := y.known
			y.known = known.without()
			a := y.attempt(ctx, Attempt{Case: what, Principal: user, Action: d.Action, Resource: resource, Want: Refused}, pattern, o)
			y.known = known
			if a.Outcome == NotTried {
				y.result.Attempts = y.result.Attempts[:len(y.result.Attempts)-1]
				continue
			}
			stage, other = stage || same, other || !same
			break
		}
	}
}

// without is what is known of another resource: a domain's token is for all its
// repositories.
func (k known) without() known { return known{bearer: k.bearer} }

func (y *trying) seen(action, resource string) bool {
	for _, a := range y.result.Attempts {
		if a.Action == action && a.Resource == resource {
			return true
		}
	}
	return false
}

// otherPrincipal repeats an allowed request with the credentials that were given,
// if those are somebody else of the same account.
func (y *trying) otherPrincipal(ctx context.Context) {
	t := y.trial
	if y.base == y.as[t.Principal] || wide(t) {
		return
	}
	for _, d := range y.result.Attempts {
		if d.Case != "declared" || d.Outcome != Allowed || strings.HasPrefix(d.Action, "sts:") || d.Resource == "*" || y.granted(ctx, y.base.arn, d.Action, d.Resource) {
			continue
		}
		if c := callOf(d.Action, &target{resource: d.Resource}); c == nil || c.writes {
			continue
		}
		y.as[y.base.arn] = y.base
		y.attempt(ctx, Attempt{Case: "another principal of the account", Principal: y.base.arn, Action: d.Action, Resource: d.Resource, Want: Refused}, "", t)
		return
	}
}

// granted reports whether some grant gives a principal an action on a resource,
// or may: what is not known is taken for everything.
func (y *trying) granted(ctx context.Context, principal, action, resource string) bool {
	for i := range y.trials {
		o := &y.trials[i]
		for _, d := range o.Declared {
			if d.Companion || d.Action != action || !(d.Principal == principal || matches(principal, d.Principal) || wholeAccount(principal, d.Principal)) {
				continue
			}
			pattern, missing := y.concreteOf(ctx, d.Resource, o)
			if missing != "" || iam.MatchWildcard(pattern, resource) {
				return true
			}
		}
	}
	return false
}

// wholeAccount reports whether a grant to an account covers a role of it.
func wholeAccount(principal, granted string) bool {
	g := parts(granted)
	return g.Resource == "root" && g.Account == parts(principal).Account
}
