// Package overview is what a service of the sandbox shows about itself on the
// sandbox's page. Rows are plain text; the page escapes them.
package overview

// A Section is one table of the page.
type Section struct {
	Title   string // "Buckets"
	Columns []string
	Rows    [][]string // as many cells as there are columns
}

// A Source has something to show. Overview may be called at any time from any
// goroutine and must not include credentials, external IDs or parameter values
// that the service was asked to hide.
type Source interface {
	Overview() []Section
}

// An Operation is one row of the table of what a service can do.
type Operation struct {
	Name string
	Real bool   // false: answers NotImplemented, whatever the request
	Note string // what is missing from a real one; empty if nothing is
}
