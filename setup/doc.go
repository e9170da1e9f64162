// Package setup writes the pages on which a customer connects an AWS account:
// what is going to be granted, the link that launches the stack, the form that
// sends the role's ARN back, and the report of its verification.
//
// It knows nothing about AWS and decides nothing: the root package's handler
// gives it a [View]. Pages work without JavaScript and contain none. All text is
// escaped by html/template, and the Content-Security-Policy allows nothing but
// the page's own style and the vendor's logo.
package setup
