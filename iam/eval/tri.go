package eval

// tri is a truth value of Kleene's logic. The order of the values makes "and"
// the minimum and "or" the maximum.
type tri int8

const (
	no    tri = iota
	maybe     // it hangs on something unknown
	yes
)

func and(a, b tri) tri { return min(a, b) }
func or(a, b tri) tri  { return max(a, b) }
func not(a tri) tri    { return yes - a }

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}
