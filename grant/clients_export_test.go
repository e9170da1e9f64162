package grant

// An Example is the call that the clients of a grant show.
type Example struct {
	Grant, Stage, Kind, Action string
	Actions                    []string
}

// ShownBy returns the examples of all grants that are not called over HTTP.
func ShownBy(p *Plan) []Example {
	var all []Example
	for _, e := range p.edges {
		s := newSnippet(e, ClientOptions{Session: 3600e9})
		if s.Operation != nil {
			g := e.given()
			all = append(all, Example{g.Grant, g.Stage, g.Kind, s.Operation.Action, g.Actions})
		}
	}
	return all
}

// Quoters are the functions that make literals, by language.
var Quoters = map[string]func(string) string{"json": jsonQuoted, "go": goQuoted, "comment": commentLine, "config": configValue}
