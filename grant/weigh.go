package grant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam/reference"
)

// A Weighing is what speaks for a way to give access and against it, as
// sentences.
type Weighing struct {
	For     []string `json:"for"`
	Against []string `json:"against"`
	// Instead is what the other ways would mean.
	Instead []string `json:"instead,omitempty"`
}

// A Way is a way to give access to a kind of resource, as [Describe] tells it.
type Way struct {
	Via string `json:"via"` // policy, role, or function: a function of the owner in between
	Weighing
}

// addressed says how callers of another account name a resource that they use
// with their own permissions.
var addressed = map[string]string{
	"s3-bucket":               "Callers name the bucket as its owner does: names of buckets are global.",
	"sqs-queue":               "Callers use the queue's URL, which has the owner's account in it; a name is looked up in the caller's own account.",
	"sns-topic":               "Callers use the topic's ARN.",
	"kms-key":                 "Callers use the key's ARN: an alias is looked up in the caller's own account.",
	"secret":                  "Callers use the full ARN with its six random characters, which change if the secret is created again: somebody must hand it to them. A name is looked up in the caller's own account.",
	"kinesis-stream":          "Callers give StreamARN, and ConsumerARN for enhanced fan-out: a name is looked up in the caller's own account.",
	"dynamodb-table":          "Callers give the table's ARN as TableName, and libraries that put names of tables together must be able to.",
	"lambda-function":         "Callers use the function's ARN, with its alias if the grant has one.",
	"event-bus":               "Callers give the ARN of the bus as EventBusName.",
	"ecr-repository":          "Callers use the registry's address, which has the owner's account in it.",
	"rest-api":                "Callers use the API's URL; nothing in it shows the account.",
	"codeartifact-repository": "Callers name the domain's owner (domainOwner), whose account is in the repository's address.",
}

// paid says who pays for use by other accounts, where AWS says so.
var paid = map[string]string{
	"kinesis-stream": "The stream's owner pays for the reads of other accounts, and their reads use up the stream's limits.",
	"event-bus":      "The account that puts an event pays for it.",
	"s3-bucket":      "The bucket's owner pays for requests and transfer, unless the bucket is set to Requester Pays.",
}

// unknownBill is for kinds of which AWS does not say who pays.
const unknownBill = "Who pays, and whose request quotas are used, differs by service; AWS does not say it for this one, so look at the first bill."

const (
	publicTraffic = "Traffic takes public endpoints unless the consumer's VPC has endpoints; their policies are one more gate (endpoints in the manifest opens them)."
	proxy         = "A function of the owner in between (grant lambda-function invoke instead) gives an operation and not the data: a single point of entry that can check, cut and change what it answers, and callers keep their own permissions. It is code to own, with errors to hand on, invocations to pay, latency, and answers of 6 MB at most."
)

// weigh says what speaks for the way of an edge, and against it.
func (e *edge) weigh() Weighing {
	k := e.resource.kind
	if e.via == "trust" {
		return Weighing{
			For:     []string{"The role is the resource: what it may do is written in one place, whoever assumes it."},
			Against: []string{"Code assumes the role and renews its credentials.", chainedSessions},
		}
	}
	if e.via == "role" {
		w := k.throughRole()
		if k.policy != nil {
			other := "Through the policy of the resource, callers would keep their own permissions and assume nothing"
			if addressed[k.name] != "" {
				other += ": " + lowerFirst(addressed[k.name])
			}
			w.Instead = append(w.Instead, strings.TrimSuffix(other, ".")+".")
		}
		w.Instead = append(w.Instead, proxyFor(k)...)
		return w
	}
	w := k.throughPolicy()
	switch e.trust {
	case "named":
		w.Against = append(w.Against, "The consumer's role is named, so it must exist before the policy is written, and loses access when it is created anew (trust: matched asks for neither).")
	case "matched":
		w.For = append(w.For, "Nothing has to exist before the policy is written: the account is the principal, and a condition names the role.")
	}
	w.Instead = append([]string{"Through a role of the owner's account, names would do where ARNs are needed now and calls would use the owner's quotas, at the price of one more role, of code that assumes and renews it, and of doing without the caller's own permissions meanwhile."}, proxyFor(k)...)
	return w
}

const chainedSessions = "A session that was begun by another role's session lasts an hour at most, and long work must renew it."

// throughPolicy weighs the resource's own policy.
func (k *kind) throughPolicy() Weighing {
	w := Weighing{For: []string{
		"No further role is created, assumed or renewed: code calls the service as it is, and nothing expires.",
		"Callers keep their own permissions in the same call, to read here and write at home for example.",
	}}
	if a := addressed[k.name]; a != "" {
		w.Against = append(w.Against, a)
	}
	if k.policy != nil {
		if q, ok := reference.ResourcePolicyQuota(k.policy.service); ok && q.Size > 0 {
			w.Against = append(w.Against, fmt.Sprintf("All consumers share the one policy of the resource and its limit of %d characters.", q.Size))
		} else {
			w.Against = append(w.Against, "All consumers share the one policy of the resource.")
		}
		if k.policy.unconditional {
			w.Against = append(w.Against, "Its statements cannot have conditions on the caller, so roles are named and must exist.")
		}
	}
	bill := paid[k.name]
	if bill == "" {
		bill = unknownBill
	}
	w.Against = append(w.Against, bill, publicTraffic)
	return w
}

// throughRole weighs a role in the account of the resource.
func (k *kind) throughRole() Weighing {
	w := Weighing{
		For: []string{
			"It works for every service, and in the owner's account names do where ARNs are needed otherwise.",
			"The owner sees each session, and its account's quotas, control policies and bill apply to all that is done.",
			"The trust policy can name the account with a condition, so nothing has to exist first.",
		},
		Against: []string{
			"One more role for each consumer and stage.",
			"Code assumes the role and renews its credentials (crossaccount clients writes that), and its ARN must reach the code.",
			chainedSessions,
			"Callers do without their own permissions meanwhile: to copy between the accounts takes two sets of credentials.",
			publicTraffic,
		},
	}
	if k.policy == nil {
		w.For = append([]string{fmt.Sprintf("%s has no policy of its own, so others cannot be let in directly.", upperFirst(k.one()))}, w.For...)
	}
	return w
}

// proxyFor names the third way, for kinds where it is one.
func proxyFor(k *kind) []string {
	if k.name == "http-api" {
		return []string{"A REST API in its place has a resource policy, and callers would assume nothing."}
	}
	switch k.service {
	case "lambda", "execute-api", "codeartifact", "ecr", "iam":
		return nil // functions and APIs are that already; clients of packages and images speak to the service itself
	}
	return []string{proxy}
}

// ways lists the ways to give access to a kind, those that there are.
func (k *kind) ways() []Way {
	if k.name == "role" {
		return []Way{{"role", (&edge{via: "trust", resource: &instance{kind: k}}).weigh()}}
	}
	var all []Way
	if k.policy != nil {
		all = append(all, Way{"policy", k.throughPolicy()})
	}
	all = append(all, Way{"role", k.throughRole()})
	if slices.Contains(proxyFor(k), proxy) {
		all = append(all, Way{"function", Weighing{
			For:     []string{"A single point of entry that gives an operation and not the data: it can check, cut and change what it answers.", "Callers need lambda:InvokeFunction only, and keep their own permissions."},
			Against: []string{"Code to own in the owner's account, with errors to hand on, invocations to pay, latency, and answers of 6 MB at most.", "Everybody depends on one function; grant it as a resource of kind lambda-function."},
		}})
	}
	return all
}
