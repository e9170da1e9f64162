// Package policies finds the IAM policies inside files and lints them where
// they are written.
//
// Read knows policy documents, what the AWS CLI prints about policies,
// CloudFormation and SAM templates, plans and JSON configuration of Terraform,
// and state machines of Step Functions; ReadAssembly knows the output of the
// CDK. Every policy keeps, for each of its elements, the place in the file that
// people edit, also where it is text inside other text.
//
// What a template does not know yet, such as parameters and names that AWS
// makes, becomes an opaque symbol (see [iam.Symbol]), so that no finding comes
// from a value that may be anything. Where conditions choose between values,
// every combination that can occur is judged. What cannot be read is never left
// out in silence: it is in Document.Unread.
//
// The package is pure. Its functions may be called from several goroutines.
package policies
