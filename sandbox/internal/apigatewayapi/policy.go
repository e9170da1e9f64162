package apigatewayapi

import (
	"errors"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// maxPolicySize is the limit of a resource policy in bytes.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
const maxPolicySize = 8192

// shortForm is how a policy may name its own API: execute-api:/stage/GET/path.
const shortForm = "execute-api:/"

// executionARN is the API as its clients' permissions name it.
func (a *api) executionARN() string {
	return "arn:" + a.partition + ":execute-api:" + a.region + ":" + string(a.account) + ":" + a.id
}

// parsePolicy checks a resource policy as API Gateway does when it is set, and
// writes its resources in full.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-create-attach.html
func (s *Service) parsePolicy(a *api, text string) (*directory.Document, error) {
	if len(text) > maxPolicySize {
		return nil, bad("Invalid policy document. It has %d bytes, and at most %d are allowed.", len(text), maxPolicySize)
	}
	policy, err := iam.ParsePolicy([]byte(text))
	if err != nil {
		return nil, invalidPolicy(err)
	}
	for i := range policy.Statements {
		st := &policy.Statements[i]
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "execute-api:") {
				return nil, invalidPolicy(bad("The action %s is none of execute-api.", wire.Clip(action)))
			}
		}
		for _, list := range [][]string{st.Resource, st.NotResource} {
			for j, resource := range list {
				if rest, ok := strings.CutPrefix(resource, shortForm); ok {
					list[j] = a.executionARN() + "/" + rest
				}
			}
		}
	}
	full, err := policy.MarshalJSON()
	if err != nil {
		return nil, invalidPolicy(err)
	}
	d, err := s.directory.Latest().NewResourceDocument(string(full), iam.KindResource, "resource policy of "+a.id)
	if err != nil {
		return nil, invalidPolicy(err)
	}
	return d, nil
}

func invalidPolicy(cause error) error {
	why := cause.Error()
	if e := (*wire.Error)(nil); errors.As(cause, &e) {
		why = e.Message
	}
	e := wire.BadRequest("BadRequestException", "Invalid policy document. Please check the policy syntax and ensure that Principals are valid. (%s)", wire.Clip(why))
	e.Cause = cause
	return e
}

// policyText is the policy as API Gateway shows it: as the inside of a JSON
// string, with quotation marks and slashes escaped.
func (s *Service) policyText(a *api) string {
	if a.policy == nil {
		return ""
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `/`, `\/`).Replace(s.directory.Latest().Text(a.policy))
}
