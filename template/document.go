package template

import "github.com/crossaccount/crossaccount/iam"

// An Object is a JSON object whose members keep their order. Values are string,
// bool, int, [Object], []any, or nil for null. Writers build these and serialise
// them; strings may contain references, keys may not.
type Object []Member

// A Member is one member of an Object.
type Member struct {
	Key   string
	Value any
}

// Add appends a member.
func (o *Object) Add(key string, value any) { *o = append(*o, Member{key, value}) }

// AddText appends a member unless the text is empty.
func (o *Object) AddText(key, text string) {
	if text != "" {
		o.Add(key, text)
	}
}

// Document returns a policy document as data, laid out as [iam.Policy.MarshalJSON]
// does, with the references still in its strings. Lists of one are scalars;
// lists of several are []any.
func Document(p *iam.Policy) Object {
	var o Object
	o.AddText("Version", p.Version)
	o.AddText("Id", p.ID)
	statements := make([]any, 0, len(p.Statements))
	for _, s := range p.Statements {
		statements = append(statements, Statement(s))
	}
	o.Add("Statement", statements)
	return o
}

// Statement returns one statement of a policy document as [Document] does.
func Statement(s iam.Statement) Object {
	var o Object
	o.AddText("Sid", s.Sid)
	o.Add("Effect", string(s.Effect))
	addPrincipals(&o, "Principal", s.Principal)
	addPrincipals(&o, "NotPrincipal", s.NotPrincipal)
	addList(&o, "Action", s.Action)
	addList(&o, "NotAction", s.NotAction)
	addList(&o, "Resource", s.Resource)
	addList(&o, "NotResource", s.NotResource)
	if len(s.Conditions) > 0 {
		var block Object
		for _, c := range s.Conditions {
			i := 0
			for i < len(block) && block[i].Key != c.Operator {
				i++
			}
			if i == len(block) {
				block.Add(c.Operator, Object(nil))
			}
			keys := block[i].Value.(Object)
			addList(&keys, c.Key, append([]string{}, c.Values...))
			block[i].Value = keys
		}
		o.Add("Condition", block)
	}
	return o
}

func addPrincipals(o *Object, key string, p *iam.Principals) {
	switch {
	case p == nil:
	case p.All:
		o.Add(key, "*")
	default:
		var types Object
		addList(&types, "AWS", p.AWS)
		addList(&types, "Service", p.Service)
		addList(&types, "Federated", p.Federated)
		addList(&types, "CanonicalUser", p.CanonicalUser)
		o.Add(key, types)
	}
}

func addList(o *Object, key string, list []string) {
	switch {
	case list == nil:
	case len(list) == 1:
		o.Add(key, list[0])
	default:
		o.Add(key, Texts(list))
	}
}

// Texts returns the list as the value of a member.
func Texts(list []string) []any {
	out := make([]any, 0, len(list))
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// SplitOptional separates the optional element from the others. It reports
// false for a list that has none. [Stack.Check] sees to it that a list has at
// most one and that it does not come first.
func SplitOptional(list []any) (before []any, optional OptionalElement, after []any, ok bool) {
	for i, v := range list {
		s, isText := v.(string)
		if !isText {
			continue
		}
		if parts := Parts(s); len(parts) == 1 {
			if o, is := parts[0].(OptionalElement); is {
				return list[:i], o, list[i+1:], true
			}
		}
	}
	return list, OptionalElement{}, nil, false
}
