package eval

// Decide answers whether the request is allowed. It is pure.
func Decide(in *Input) Decision {
	return Decision{}
}
