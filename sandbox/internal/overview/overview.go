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
