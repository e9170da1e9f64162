package template

import "fmt"

// An Expr is the truth a condition stands for: [Equals], [Not], [And], [Or] or
// [Is]. Formats differ in what else they can say, so there is nothing else.
type Expr interface{ isExpr() }

type (
	// Equals holds while two texts are the same. They may contain references
	// to parameters and variables, but not to resources.
	Equals struct{ A, B string }

	// Not holds while its expression does not.
	Not struct{ Expr Expr }

	// And holds while all of its two to ten expressions do.
	And []Expr

	// Or holds while at least one of its two to ten expressions does.
	Or []Expr

	// Is holds while the condition with this id does.
	Is string
)

func (Equals) isExpr() {}
func (Not) isExpr()    {}
func (And) isExpr()    {}
func (Or) isExpr()     {}
func (Is) isExpr()     {}

// evaluate decides an expression. text resolves references, condition decides
// other conditions.
func evaluate(e Expr, text func(string) string, condition func(id string) bool) bool {
	switch e := e.(type) {
	case Equals:
		return text(e.A) == text(e.B)
	case Not:
		return !evaluate(e.Expr, text, condition)
	case And:
		for _, sub := range e {
			if !evaluate(sub, text, condition) {
				return false
			}
		}
		return true
	case Or:
		for _, sub := range e {
			if evaluate(sub, text, condition) {
				return true
			}
		}
		return false
	case Is:
		return condition(string(e))
	}
	panic(fmt.Sprintf("template: unknown expression %T", e))
}

// visitExpr calls visit with every text of an expression.
func visitExpr(e Expr, visit func(string)) {
	switch e := e.(type) {
	case Equals:
		visit(e.A)
		visit(e.B)
	case Not:
		visitExpr(e.Expr, visit)
	case And:
		for _, sub := range e {
			visitExpr(sub, visit)
		}
	case Or:
		for _, sub := range e {
			visitExpr(sub, visit)
		}
	}
}
