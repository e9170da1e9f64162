// Command broker measures package broker beside what else gets at the
// credentials of customers' roles:
//
//	cd bench && go run ./broker [-quick] [-only 12]
//
// Beside it are aws.CredentialsCache around an AssumeRoleProvider, the same with
// an ExpiryWindow, otter (a cache library that refreshes on access), and naive
// code that loads a configuration and calls AssumeRole every time. All of them
// talk to package stsfaults with the AWS SDK.
//
// Counts, waits and failures are measured in bubbles of testing/synctest, where
// time passes only when everybody waits. So sessions have their real length, a
// wait is exactly what it would be on an idle machine, and how loaded this one
// is changes nothing. What a hot call, a customer's memory, a restart and a
// stopped process cost is measured for real, in processes of their own.
package main
