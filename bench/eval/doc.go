// Command eval measures how fast package iam/eval decides, and other engines
// with it in the same run:
//
//	cd bench && go run ./eval
//
// The question is one that occurs: a role of one account reads an S3 object of
// another. The role has N identity statements in policies of twenty, about ten
// services, 1 in 17 a Deny, 1 in 4 with a condition, and only the last one
// matches, through a policy variable. There are a bucket policy of five
// statements, SCPs on two levels and six context keys, and the answer is
// Allowed.
//
// Everything runs on one thread. A figure is the median of several samples, per
// second of CPU time, so that other work on the machine hardly changes it.
//
// cedar-go (Apache-2.0) decides with another language; it is here because it is
// the best-kept policy engine in Go. It gets the same statements as Cedar
// policies. @cloud-copilot/iam-simulate (AGPL) decides the very same JSON. It
// runs as a separate process, is installed into a temporary directory when the
// benchmark runs, and is left out where node or npm is missing.
package main
