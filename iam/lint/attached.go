package lint

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

var attachedRules = []Rule{
	{
		ID:       "GX-R04",
		Title:    "a resource policy names another resource than its own",
		Why:      "a resource policy only governs the resource it is attached to, so the statement has no effect",
		Fix:      "name the resource that has the policy",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html",
		Severity: Error,
		check:    checkOwnResource,
	},
	{
		ID:       "GX-R06",
		Title:    "actions on a Kinesis stream and on its consumers are confused",
		Why:      "enhanced fan-out is authorised on the consumer and everything else on the stream, so the statement does not allow the action",
		Fix:      "name the stream for shared reading and the consumer (stream/NAME/consumer/…) for SubscribeToShard and DescribeStreamConsumer; in resource policies each has its own",
		Link:     "https://docs.aws.amazon.com/streams/latest/dev/resource-based-policy-examples.html",
		Severity: Error,
		check:    checkStreams,
	},
	{
		ID:       "GX-R07",
		Title:    "a KMS key is named by its alias, or all keys of another account are named",
		Why:      "the permission to use a key is never found by the alias's ARN, and all keys are also those that are shared later for another purpose",
		Fix:      "name the key by its ARN (key/…); a condition on kms:ResourceAliases can follow the alias",
		Link:     "https://docs.aws.amazon.com/kms/latest/developerguide/cmks-in-iam-policies.html",
		Severity: Error,
		check:    checkKMSKeys,
	},
	{
		ID:       "GX-R08",
		Title:    "the ARN of an API does not reach a method",
		Why:      "calls are authorised on API/STAGE/METHOD/path, so a shorter ARN, or a method in lower case, matches no call",
		Fix:      "write the API's id, stage, method and path, or an asterisk for each that may be anything",
		Link:     "https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-using-iam-policies-to-invoke-api.html",
		Severity: Error,
		check:    checkAPIMethods,
	},
}

// checkOwnResource needs to know the resource. What lies in it counts as it.
func checkOwnResource(r *reporter) {
	own, err := iam.ParseARN(r.options.Resource)
	if err != nil || r.options.Kind != iam.KindResource || open(r.options.Resource) {
		return
	}
	// The catalogue's one policy is about everything in it.
	if own.Service == "glue" {
		own.Resource = "*"
	}
	if own.Service == "apigateway" {
		if id, ok := strings.CutPrefix(own.Resource, "/restapis/"); ok {
			own = iam.ARN{Partition: own.Partition, Service: "execute-api", Region: own.Region, Account: "*", Resource: id}
			if r.options.Account != "" {
				own.Account = string(r.options.Account)
			}
		}
	}
	within := []string{own.String(), own.String() + "/*", own.String() + ":*"}
	kind, name, _ := strings.Cut(own.Resource, "/")
	for _, other := range partsElsewhere[own.Service+":"+kind] {
		part := own
		part.Resource = other + "/" + name
		within = append(within, part.String(), part.String()+"/*")
	}
	eachResource(r, func(path, resource string) {
		if allWildcards(resource) || r.isShorthand(resource) || resource == "" || r.isMalformed(resource) {
			return
		}
		if !slices.ContainsFunc(within, func(text string) bool { return reference.Overlap(resource, text) }) {
			r.report(Error, path, "", "%q is not the resource %s that has this policy", clip(resource), clip(r.options.Resource))
		}
	})
}

// partsElsewhere are the other types, by service and type, whose ARNs a
// resource's policy may name because they belong to it.
var partsElsewhere = map[string][]string{
	"events:event-bus": {"rule"},
	"kafka:cluster":    {"topic", "group", "transactional-id"},
	"codeartifact:repository": {
		"package",
	},
}

// The actions of Kinesis that are authorised on a consumer, in lower case.
var consumerActions = []string{"kinesis:subscribetoshard", "kinesis:describestreamconsumer"}

// Those authorised on the stream that readers and writers use.
var streamActions = []string{
	"kinesis:describestream", "kinesis:describestreamsummary", "kinesis:listshards", "kinesis:getsharditerator",
	"kinesis:getrecords", "kinesis:putrecord", "kinesis:putrecords", "kinesis:registerstreamconsumer",
}

// streamParts says which resources of a statement are streams and consumers. It
// is false if there is a resource that may be anything.
func streamParts(s *iam.Statement) (streams, consumers, known bool) {
	for _, resource := range s.Resource {
		a, err := iam.ParseARN(resource)
		if err != nil || a.Service != "kinesis" || iam.HasSymbol(a.Resource) && !strings.Contains(a.Resource, "/consumer/") && !strings.HasPrefix(a.Resource, "stream/") {
			return false, false, false
		}
		name, ok := strings.CutPrefix(a.Resource, "stream/")
		switch {
		case !ok:
			return false, false, false
		case strings.Contains(name, "/consumer/"):
			consumers = true
		case open(name) || strings.Contains(name, "*"):
			return false, false, false // an asterisk reaches the consumers too
		default:
			streams = true
		}
	}
	return streams, consumers, streams || consumers
}

// confusesStream reports whether an action and the statement's resources are on
// different sides of stream and consumer.
func confusesStream(action string, s *iam.Statement) bool {
	streams, consumers, known := streamParts(s)
	lower := strings.ToLower(action)
	return known && (slices.Contains(consumerActions, lower) && !consumers || slices.Contains(streamActions, lower) && !streams)
}

func checkStreams(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow {
			return
		}
		values(path+".Action", s.Action, func(path, action string) {
			if !confusesStream(action, s) {
				return
			}
			if slices.Contains(consumerActions, strings.ToLower(action)) {
				r.report(Error, path, "", "%s is authorised on the consumer, but the statement names only the stream", clip(action))
			} else {
				r.report(Error, path, "", "%s is authorised on the stream, but the statement names only consumers", clip(action))
			}
		})
	})
}

// The actions on an alias itself, in lower case.
var aliasActions = []string{"kms:createalias", "kms:deletealias", "kms:updatealias"}

func isAlias(resource string) bool {
	a, err := iam.ParseARN(resource)
	return err == nil && a.Service == "kms" && strings.HasPrefix(a.Resource, "alias/")
}

func checkKMSKeys(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if s.Effect != iam.Allow || !slices.ContainsFunc(s.Action, usesKey) {
			return
		}
		manages := slices.ContainsFunc(s.Action, func(action string) bool {
			return slices.ContainsFunc(aliasActions, func(known string) bool { return iam.MatchWildcard(strings.ToLower(action), known) })
		})
		values(path+".Resource", s.Resource, func(path, resource string) {
			a, err := iam.ParseARN(resource)
			switch {
			case err != nil || a.Service != "kms":
			case isAlias(resource) && !manages:
				r.report(Error, path, "", "%q is an alias, but permissions are about the key", clip(resource))
			case (a.Resource == "key/*" || a.Resource == "*") && r.isForeignAccount(a.Account) && !limitsResources(s):
				r.report(Warning, path, "", "%q is every key of the account that is ever shared", clip(resource))
			}
		})
	})
}

// usesKey reports whether an action is one of KMS on a key.
func usesKey(action string) bool {
	prefix, name, ok := strings.Cut(strings.ToLower(action), ":")
	return ok && prefix == "kms" && !slices.Contains(aliasActions, "kms:"+name)
}

// isForeignAccount reports whether an account is known to be another than the
// policy's.
func (r *reporter) isForeignAccount(account string) bool {
	_, err := iam.ParseAccountID(account)
	return err == nil && (r.options.Account != "" && account != string(r.options.Account) || r.options.Account == "" && r.options.CrossAccount)
}

// apiMethod returns what an ARN of execute-api, or the short form that resource
// policies may have, names: API/STAGE/METHOD/path. The short form leaves out the
// API.
func apiMethod(resource string) (string, bool) {
	if rest, ok := strings.CutPrefix(resource, "execute-api:/"); ok {
		return "*/" + rest, true
	}
	a, err := iam.ParseARN(resource)
	return a.Resource, err == nil && a.Service == "execute-api"
}

// missesMethod reports whether an action on an API stands beside resources that
// GX-R08 judges.
func missesMethod(action string, s *iam.Statement) bool {
	return iam.MatchWildcard(strings.ToLower(action), "execute-api:invoke") && slices.ContainsFunc(s.Resource, func(resource string) bool {
		_, ok := apiMethod(resource)
		return ok
	})
}

var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// checkAPIMethods leaves alone what may be a route of a WebSocket API, such as
// API/STAGE/$connect, and the ARNs of private domain names.
func checkAPIMethods(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		if !slices.ContainsFunc(s.Action, func(action string) bool { return iam.MatchWildcard(strings.ToLower(action), "execute-api:invoke") }) {
			return
		}
		values(path+".Resource", s.Resource, func(path, resource string) {
			method, ok := apiMethod(resource)
			if !ok || open(method) || strings.HasPrefix(method, "/domainnames") || method == "" {
				return
			}
			parts := strings.Split(method, "/")
			last := parts[len(parts)-1]
			isMethod := len(parts) > 2 && slices.ContainsFunc(httpMethods, func(m string) bool { return strings.EqualFold(m, parts[2]) })
			switch {
			case len(parts) > 2 && isMethod && parts[2] != strings.ToUpper(parts[2]):
				r.report(Error, path, "write "+strings.ToUpper(parts[2]), "the method %q is not in upper case", parts[2])
			case strings.HasSuffix(last, "*"):
				if s.Effect == iam.Allow && allWildcards(strings.ReplaceAll(method, "/", "")) && r.options.CrossAccount && r.options.Kind == iam.KindIdentity {
					r.report(Warning, path, "", "%q is every method of every API of the account", clip(resource))
				}
			case len(parts) < 3:
				r.report(Error, path, "", "%q names no method and path, so it matches no call", clip(resource))
			case len(parts) == 3 && isMethod:
				r.report(Error, path, "add the path, or /* for any", "%q names no path, so it matches no call", clip(resource))
			}
		})
	})
}
