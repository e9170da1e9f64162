package world

import (
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// Can answers a question. The error says what is wrong with the question.
func (w *World) Can(q Question) (*Answer, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	t, err := w.target(&q)
	if err != nil {
		return nil, err
	}
	c, err := w.caller(q.Principal)
	if err != nil {
		return nil, err
	}
	return w.answer(&q, c, t), nil
}

// An Answer is the answer to a question. It stays the same when the world is
// updated, and is safe for concurrent use.
type Answer struct {
	Question  Question
	Principal iam.Principal // as the question's principal was understood
	Decision  eval.Decision

	// Assumptions are things the snapshot does not say and that were taken for
	// granted, as sentences.
	Assumptions []string

	input *eval.Input
	key   string
}

// Verdict returns the decision's verdict.
func (a *Answer) Verdict() eval.Verdict { return a.Decision.Verdict }

// Explain says why. It is worked out anew each time.
func (a *Answer) Explain() *eval.Explanation { return eval.Explain(a.input) }

// Input returns what was decided: the request with every derived condition key,
// and the policies of all layers. It must not be changed.
func (a *Answer) Input() *eval.Input { return a.input }

func (w *World) answer(q *Question, c *caller, t *target) *Answer {
	in := w.input(q, c, t)
	a := &Answer{Question: *q, Principal: c.iam, Decision: eval.Decide(in), input: in}
	a.Assumptions = append(append(a.Assumptions, c.assumed...), t.assumed...)
	if t.exact != nil {
		a.key = t.exact.key
	}
	if a.key == "" {
		if holder := w.policyHolder(t.arn, t.exact); holder != nil {
			a.key = holder.key
		}
	}
	return a
}

// input collects everything that bears on a question.
func (w *World) input(q *Question, c *caller, t *target) *eval.Input {
	keys := w.keys(q, t, c)
	w.setKeys(keys, q, c, t)
	in := w.layers(q, c, t)
	in.Request.Context = keys.ctx
	in.Identity = evalAll(c.policies)
	in.Boundary = c.limit.eval()
	return in
}

// layers collects the request and the policies of all layers but those of the
// principal itself.
func (w *World) layers(q *Question, c *caller, t *target) *eval.Input {
	in := &eval.Input{
		Request: &iam.Request{
			Principal: c.iam, Action: q.Action, Resource: q.Resource, ResourceAccount: t.owned(c).id,
		},
		Session:         q.Session,
		Resource:        t.policy.eval(),
		ServiceControl:  c.serviceControl(),
		ResourceControl: t.resourceControl(c),
	}
	if c.iam.Type == iam.PrincipalFederatedUser && q.Session == nil {
		in.Session = evalAll(c.policies) // which are unknown too
	}
	if e := w.endpoint(q); e != nil {
		in.Endpoint = e.policy.eval()
	}
	return in
}

// endpoint returns the VPC endpoint of the request, if it is known.
func (w *World) endpoint(q *Question) *endpoint {
	values, multi, state := q.Context.Lookup("aws:SourceVpce")
	if state != iam.KeyGiven || multi || len(values) != 1 {
		return nil
	}
	return w.endpoints[values[0]]
}

// keys begins a context for requests to a target, with what does not hang on
// the caller, or hangs on its kind only: the kind of c, or without one that of
// all principals of the world. In it no caller has tags that were not set, if
// its tags are known.
func (w *World) keys(q *Question, t *target, c *caller) *keySetter {
	k := &keySetter{closed: q.Closed, given: givenKeys(&q.Context)}
	if !q.Closed {
		k.ctx.SetUnlistedUnknown()
	}
	(&caller{}).setServiceKeys(k)
	if c == nil || c.tagsKnown() {
		k.ctx.SetFamilyAbsent(principalTag)
	}
	k.ctx.SetUnknown(keyMissingAllows)
	k.ctx.SetUnknown(keyMissingDenies)
	if e := w.endpoint(q); e != nil {
		if e.VPC != "" {
			k.ctx.Set("aws:SourceVpc", e.VPC)
		}
		if e.Account != "" {
			k.ctx.Set("aws:VpceAccount", string(e.Account))
		}
	}
	t.setKeys(k, serviceOfAction(q.Action))
	if t.owner != nil {
		w.setOwner(k, q, t, t.owner)
	}
	return k
}

func (w *World) setOwner(k *keySetter, q *Question, t *target, owner *account) {
	k.foreignOrg = len(w.orgs) > 0 && !t.missing && w.knowsOrganizations(t.orgIDs) && w.knowsOrganizations(owner.orgIDs)
	t.setOwnerKeys(k, serviceOfAction(q.Action), owner)
}

// setKeys sets the keys that hang on the caller.
func (w *World) setKeys(k *keySetter, q *Question, c *caller, t *target) {
	if t.owner == nil {
		w.setOwner(k, q, t, t.owned(c))
	}
	c.setKeys(k)
	k.overrule()
}

// serviceOfAction returns the prefix of an action, in lower case.
func serviceOfAction(action string) string {
	service, _, _ := strings.Cut(strings.ToLower(action), ":")
	return service
}

// Requirements lists the statements that a Depends answer hangs on.
func (a *Answer) Requirements() []Requirement {
	if a.Decision.Verdict != eval.Depends {
		return nil
	}
	var out []Requirement
	for _, layer := range a.Explain().Layers {
		settled := slices.ContainsFunc(layer.Statements, func(s eval.StatementExplanation) bool {
			return s.Effect == iam.Allow && s.Outcome == eval.Matched
		})
		for _, s := range layer.Statements {
			if s.Outcome != eval.Undetermined || s.Effect == iam.Allow && settled {
				continue
			}
			r := Requirement{Layer: layer.Layer, Level: layer.Level, Side: layer.Side, Effect: s.Effect}
			if what, ok := strings.CutSuffix(s.Policy, notInThisWorld); ok {
				r.Missing = what
			} else {
				r.Statement, r.Conditions = s.Statement.String(), s.Mismatches
			}
			out = append(out, r)
		}
	}
	return out
}

// Unknown returns the condition keys that the answer hangs on, sorted: those of
// conditions as written, those of policy variables in lower case.
func (a *Answer) Unknown() []string {
	found := make(map[string]string) // by key in lower case
	for _, r := range a.Requirements() {
		for _, c := range r.Conditions {
			for _, key := range c.Unknown {
				if strings.EqualFold(key, c.Key) {
					found[key] = c.Key
				} else if found[key] == "" {
					found[key] = key
				}
			}
		}
	}
	return slices.Sorted(maps.Values(found))
}

// String returns the requirement as a sentence.
func (r Requirement) String() string {
	switch {
	case r.Missing != "" && r.Effect == iam.Deny:
		return r.Missing + " must not deny it (not in this world)"
	case r.Missing != "":
		return r.Missing + " must allow it (not in this world)"
	}
	var parts []string
	for _, c := range r.Conditions {
		if c.Element == "Condition" {
			parts = append(parts, c.Operator+" "+c.Key+" "+strings.Join(c.Wanted, " or "))
		} else {
			parts = append(parts, c.Element+" "+strings.Join(c.Wanted, " or "))
		}
	}
	verb := "if"
	if r.Effect == iam.Deny {
		verb = "unless"
	}
	return verb + " " + strings.Join(parts, " and ") + ", by " + r.Layer.String() + " " + r.Statement
}

// KeyQuestion returns what must be asked too if the resource is encrypted with a
// KMS key: whether the principal may use the key. It returns false if the action
// reads or writes nothing encrypted, or no key is known. Keys that AWS manages
// need no permission and should not be listed in a world.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (a *Answer) KeyQuestion() (Question, bool) {
	action, ok := keyActions[strings.ToLower(a.Question.Action)]
	if !ok || a.key == "" {
		return Question{}, false
	}
	q := a.Question
	service, _, _ := strings.Cut(strings.ToLower(q.Action), ":")
	q.Action, q.Resource, q.ResourceAccount = action, a.key, ""
	q.Context = a.Question.Context.Clone()
	if _, _, state := q.Context.Lookup("kms:ViaService"); state != iam.KeyGiven {
		if region := regionOf(a.key); region != "" {
			q.Context.Set("kms:ViaService", service+"."+region+".amazonaws.com")
		}
	}
	return q, true
}

var keyActions = map[string]string{
	"s3:getobject": "kms:Decrypt", "s3:getobjectversion": "kms:Decrypt", "s3:putobject": "kms:GenerateDataKey",
	"sqs:sendmessage": "kms:GenerateDataKey", "sqs:receivemessage": "kms:Decrypt", "sns:publish": "kms:GenerateDataKey",
	"secretsmanager:getsecretvalue": "kms:Decrypt", "secretsmanager:putsecretvalue": "kms:GenerateDataKey",
	"ssm:getparameter": "kms:Decrypt", "kinesis:putrecord": "kms:GenerateDataKey", "kinesis:getrecords": "kms:Decrypt",
	"logs:getlogevents": "kms:Decrypt", "dynamodb:getitem": "kms:Decrypt",
}
