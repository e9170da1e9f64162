// Package smoke tries compiled grants against AWS with the consumer's own
// credentials: what a grant declares must be allowed, and its neighbours must be
// refused. It is what "crossaccount probe" does.
//
// # What is called
//
// Every action that can be tried without a lasting effect has a row in the table
// of its service's file: reads, dry runs, and writes whose condition is always
// false. Calls that do leave something behind (a message, a record, an object)
// are made only with [Options.Write]. What answers contain is thrown away, but
// for names that later calls need, such as a shard's.
//
// Packages are read as package managers do, with a token that is kept nowhere but
// in memory. A role that only Step Functions can assume is tried by running the
// consumer's state machine, if [Options.Write] allows that.
//
// Only AWS's AccessDenied counts as refused, and 403 of a package repository. Throttling and faults are tried
// again a few times; what stays unclear is inconclusive, never a pass.
//
// Requests are signed by hand, so the package needs no SDK of each service; the
// protocols of these calls are small. Role sessions come from STS.
package smoke
