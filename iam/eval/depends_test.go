package eval_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam/eval"
)

// An answer that depends names exactly the statements that can make a
// difference, which is what trying all ways for them to turn out finds.
func TestUndeterminedIsExact(t *testing.T) {
	depended := 0
	rapid.Check(t, func(t *rapid.T) {
		q := draw(t)
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(append(keys, "aws:userid")), 1, 3, rapid.ID).Draw(t, "unknown") {
			q.request.Context.SetUnknown(key)
		}
		in := q.input(t)
		x := eval.Explain(in)
		if x.Decision.Verdict != eval.Depends {
			if len(x.Undetermined) > 0 {
				t.Fatalf("%s, and yet it depends on %v", x.Decision.Verdict, x.Undetermined)
			}
			return
		}
		depended++

		var open []eval.StatementRef
		for _, l := range x.Layers {
			for _, s := range l.Statements {
				if s.Outcome == eval.Undetermined {
					open = append(open, s.Statement)
				}
			}
		}
		if len(open) > 10 {
			return // 2^10 decisions are enough
		}
		matters := map[eval.StatementRef]bool{}
		allowed := func(assignment int) bool {
			d := eval.DecideSupposing(in, func(r eval.StatementRef) bool { return assignment>>slices.Index(open, r)&1 == 1 })
			if d.Verdict == eval.Depends {
				t.Fatal("every statement is decided, and yet it depends")
			}
			return d.Allowed()
		}
		for assignment := range 1 << len(open) {
			before := allowed(assignment)
			for i, ref := range open {
				if !matters[ref] && allowed(assignment^1<<i) != before {
					matters[ref] = true
				}
			}
		}
		want, got := map[string]bool{}, map[string]bool{}
		for ref := range matters {
			want[ref.String()] = true
		}
		for _, m := range x.Undetermined {
			got[m.Statement] = true
			if len(m.Unknown) == 0 {
				t.Fatalf("%v hangs on no key", m)
			}
		}
		if !maps.Equal(want, got) {
			t.Fatalf("what matters is %v, what is named %v\n%s", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), x)
		}

		// Knowing the keys it names decides.
		known := *q
		known.request.Context = q.request.Context.Clone()
		for _, m := range x.Undetermined {
			setContext(t, &known.request.Context, m.Unknown)
		}
		if v := known.verdict(t); v == eval.Depends {
			t.Fatalf("the keys it depends on are known, and it still depends\n%s", x)
		}
	})
	if depended == 0 {
		t.Error("nothing ever depended on anything")
	}
}
