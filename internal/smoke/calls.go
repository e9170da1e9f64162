package smoke

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam"
)

// A call is one way to try an action.
type call struct {
	action string
	// writes calls leave something behind.
	writes bool
	// request makes the call, or says why it cannot be made.
	request func(t *target) (*request, string)
	// passed are error codes that only callers get who may do it.
	passed []string
	// absent is the error code for what does not exist, which only callers get who
	// may do it. It counts in attempts on something absent.
	absent string
	// learn keeps what later calls need. It may be nil.
	learn func(t *target, a *answer)
}

// A target is what calls are about: one resource as one grant sees it.
type target struct {
	resource string // concrete, without wildcards
	arn      iam.ARN
	pattern  string // as the policy has it
	// principal is who makes the call.
	principal string
	kind      string
	only      *grant.Narrowing
	owner     grant.Place
	known     *known
}

// known is what calls of one grant learned for later ones.
type known struct {
	shard, iterator string
	object, version string      // version of the object
	keys            []attribute // of a table
	ciphertext      string
	algorithm       string // of a signing key
	bearer          bearer // of a domain's packages
	repository      string // ARN of one that is there
	path            string // of a package that is there, with its format
}

// A service is a table of calls.
type service struct {
	// calls in the order in which they are made: later ones use what earlier ones
	// learned.
	calls []call
	// others are actions that are tried as neighbours when no grant gives them,
	// the most telling first.
	others []string
}

// services is every service whose calls are known, by the prefix of its actions.
var services = map[string]*service{
	"s3": s3Calls, "sqs": sqsCalls, "sns": snsCalls, "kinesis": kinesisCalls, "dynamodb": dynamoCalls, "kms": kmsCalls,
	"secretsmanager": secretCalls, "lambda": lambdaCalls, "events": eventCalls, "ecr": ecrCalls, "execute-api": apiCalls,
	"codeartifact": codeArtifactCalls, "sts": bearerCalls, "states": stateCalls,
}

// callOf returns the row of an action for a target, or nil.
func callOf(action string, t *target) *call {
	prefix, _, _ := strings.Cut(action, ":")
	s := services[prefix]
	if s == nil {
		return nil
	}
	for i := range s.calls {
		c := &s.calls[i]
		if c.action == action {
			if action == "dynamodb:DescribeStream" || action == "dynamodb:GetShardIterator" || action == "dynamodb:GetRecords" {
				if !strings.Contains(t.resource, "/stream/") {
					continue
				}
			}
			return c
		}
	}
	return nil
}

// order is the place of an action in its service's table, for sorting.
func order(action string) int {
	prefix, _, _ := strings.Cut(action, ":")
	if s := services[prefix]; s != nil {
		for i := range s.calls {
			if s.calls[i].action == action {
				return i
			}
		}
	}
	return 1 << 20
}

// probeName is the name of whatever a call has to name. It is in logs and
// CloudTrail, so that whoever looks knows where it came from.
const probeName = "crossaccount-probe"

// sample returns a resource that a pattern matches.
func sample(pattern string) string {
	if pattern == "*" {
		return pattern
	}
	return strings.ReplaceAll(pattern, "*", probeName)
}

// field returns a text or list element deep in a JSON document: "Shards.0.ShardId".
func field(body []byte, path string) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	for _, name := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			var n int
			if _, err := fmt.Sscan(name, &n); err != nil || n >= len(at) {
				return ""
			}
			v = at[n]
		default:
			return ""
		}
	}
	s, _ := v.(string)
	return s
}

// jsonCall is a call in a JSON protocol, whose input depends on the target alone.
func jsonCall(action, prefix, version, prefixed string, input func(t *target) map[string]any, passed ...string) call {
	service, operation, _ := strings.Cut(action, ":")
	return call{action: action, passed: passed, request: func(t *target) (*request, string) {
		return jsonRequest(service, prefix+"."+t.owner.Region, version, prefixed+"."+operation, input(t)), ""
	}}
}

func (c call) learning(learn func(t *target, a *answer)) call {
	c.learn = learn
	return c
}

// writing marks a call that leaves something behind.
func (c call) writing() call {
	c.writes = true
	return c
}

// unless adds a reason for which the call cannot be made.
func (c call) unless(reason func(t *target) string) call {
	make := c.request
	c.request = func(t *target) (*request, string) {
		if why := reason(t); why != "" {
			return nil, why
		}
		return make(t)
	}
	return c
}
