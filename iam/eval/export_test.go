package eval

// Unindexed returns the policy with an index that finds every statement for
// every request.
func Unindexed(p *Policy) *Policy {
	c := *p
	c.allows, c.denies = index{}, index{}
	for i := range c.statements {
		x := &c.allows
		if c.statements[i].deny {
			x = &c.denies
		}
		x.put(byNothing, keyOf(byNothing, 0, ""), int32(i))
	}
	c.allows.sort()
	c.denies.sort()
	return &c
}

// DecideSupposing decides with an answer for each statement that is
// undetermined.
func DecideSupposing(in *Input, matches func(StatementRef) bool) Decision {
	e := newEnv(in)
	e.suppose = func(r StatementRef) tri { return truth(matches(r)) }
	return e.decide(in)
}
