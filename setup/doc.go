// Package setup writes the pages on which a customer connects an AWS account:
// what is going to be granted, the link that launches the stack and the ways
// without it, the form that sends the role's ARN back, the verification as it
// goes on, what to do when it fails, and how to take everything away again.
//
// It decides nothing: the root package's handler gives it a [View]. Of AWS it
// knows what the access levels of actions are called, see [Describe].
//
// Pages work without JavaScript; with it, a running verification is shown as it
// happens. All text is escaped by html/template, and the Content-Security-Policy
// allows the page's one script file, its own style and the vendor's logo. What
// pages say is in text.go.
package setup
