package terraform

import (
	"fmt"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// generic writes the blocks of a resource. Policy documents become calls of
// jsonencode.
func (w *writer) generic(r template.Resource, k *template.Generic) {
	for _, b := range k.WithOwn(r.ID) {
		name := snake(r.ID)
		if b.Suffix != "" {
			name += "_" + b.Suffix
		}
		o := w.argument(r.ID, b.Arguments).(template.Object)
		if len(k.After) > 0 {
			var after []any
			for _, id := range k.After {
				after = append(after, code(w.address(id)))
			}
			o.Add("depends_on", after)
		}
		w.add(b.Type, name, r.Condition, o)
	}
}

// address is how Terraform calls a resource as a whole.
func (w *writer) address(id string) string {
	r, _ := w.stack.Resource(id)
	switch k := r.Kind.(type) {
	case *template.Generic:
		if len(k.Terraform) > 0 {
			return k.Terraform[0].Type + "." + snake(id)
		}
	case *template.Role:
		return "aws_iam_role." + snake(id)
	case *template.ManagedPolicy:
		return "aws_iam_policy." + snake(id)
	}
	return snake(id)
}

// unlimited is the limit of policies whose service is not known here.
func unlimited(int) error { return nil }

func (w *writer) argument(at string, v any) any {
	switch v := v.(type) {
	case string:
		return code(w.text(v))
	case *iam.Policy:
		return w.policy(at, v, unlimited)
	case template.Object:
		out := template.Object{}
		for _, m := range v {
			out.Add(m.Key, w.argument(at+"."+m.Key, m.Value))
		}
		return out
	case []any:
		out := []any{}
		for i, e := range v {
			out = append(out, w.argument(fmt.Sprintf("%s[%d]", at, i), e))
		}
		return out
	}
	return v
}
