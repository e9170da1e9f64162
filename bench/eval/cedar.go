package main

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/crossaccount/crossaccount/iam"
)

// cedarQuestion is the workload in Cedar's language. Cedar has neither layers
// nor wildcards in actions; the layers' statements become policies of one set,
// and an action with a wildcard becomes a group of actions.
type cedarQuestion struct {
	policies *cedar.PolicySet
	entities cedar.EntityMap
	request  cedar.Request
}

func newCedarQuestion(n int) (*cedarQuestion, error) {
	var b strings.Builder
	for _, s := range identityStatements(n) {
		effect := "permit"
		if s.Effect == iam.Deny {
			effect = "forbid"
		}
		actions := make([]string, len(s.Action))
		for i, a := range s.Action {
			actions[i] = fmt.Sprintf("Action::%q", a)
		}
		bucket := strings.TrimSuffix(s.Resource[0], "/*")
		fmt.Fprintf(&b, "%s (principal == Role::%q, action in [%s], resource in Thing::%q)", effect, caller, strings.Join(actions, ", "), bucket)
		for _, c := range s.Conditions {
			if c.Key == "s3:ExistingObjectTag/team" {
				b.WriteString(" when { resource.team == principal.team }")
			} else {
				fmt.Fprintf(&b, " when { context.region == %q }", c.Values[0])
			}
		}
		b.WriteString(";\n")
	}
	// The bucket policy and the guard rails, as far as they are more than
	// "everything is allowed".
	b.WriteString(`
forbid (principal, action, resource in Thing::"arn:aws:s3:::data") when { context.secure == false };
permit (principal in Account::"777788889999", action, resource in Thing::"arn:aws:s3:::data");
permit (principal == Service::"cloudfront.amazonaws.com", action == Action::"s3:GetObject", resource in Thing::"arn:aws:s3:::data");
permit (principal in Account::"111122223333", action == Action::"s3:PutObject", resource in Thing::"arn:aws:s3:::data");
forbid (principal, action, resource) unless { action in [Action::"iam:*", Action::"s3:*"] || context.region == "eu-west-1" };
`)
	policies, err := cedar.NewPolicySetFromBytes("workload.cedar", []byte(b.String()))
	if err != nil {
		return nil, err
	}
	entity := func(kind cedar.EntityType, id string, attributes cedar.RecordMap, parents ...cedar.EntityUID) cedar.Entity {
		return cedar.Entity{UID: cedar.NewEntityUID(kind, cedar.String(id)), Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
	}
	account := entity("Account", callerAccount, nil)
	role := entity("Role", caller, cedar.RecordMap{"team": cedar.String("red")}, account.UID)
	bucket := entity("Thing", "arn:aws:s3:::data", nil)
	file := entity("Thing", object, cedar.RecordMap{"team": cedar.String("red")}, bucket.UID)
	everyS3, everyGet := entity("Action", "s3:*", nil), entity("Action", "s3:Get*", nil)
	get := entity("Action", "s3:GetObject", nil, everyS3.UID, everyGet.UID)
	q := &cedarQuestion{
		policies: policies,
		entities: cedar.EntityMap{},
		request: cedar.Request{
			Principal: role.UID, Action: get.UID, Resource: file.UID,
			Context: cedar.NewRecord(cedar.RecordMap{
				"secure": cedar.True, "region": cedar.String("eu-west-1"), "principalArn": cedar.String(caller), "principalAccount": cedar.String(callerAccount),
			}),
		},
	}
	for _, e := range []cedar.Entity{account, role, bucket, file, everyS3, everyGet, get} {
		q.entities[e.UID] = e
	}
	if !q.allowed() {
		return nil, fmt.Errorf("cedar-go does not allow the request with %d statements", n)
	}
	return q, nil
}

func (q *cedarQuestion) allowed() bool {
	decision, _ := cedar.Authorize(q.policies, q.entities, q.request)
	return decision == cedar.Allow
}
