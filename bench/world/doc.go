// Command world measures questions about whole organisations:
//
//	cd bench && go run ./world
//
// A generated organisation has accounts of 500 roles. The statements of a role
// are those of bench/eval: ten services, 1 in 17 a Deny, 1 in 4 with a
// condition, and each names a resource of its own. One role in a hundred has a
// statement that lets it read the objects of the bucket that is asked about,
// half of them through a policy variable. The bucket's policy lets the
// organisation read it, and denies plain HTTP.
//
// Two worlds are made: 10,000 roles of which each has 20 statements nobody else
// has, the hardest case for an index, and 100,000 roles of which each has a
// managed policy of 20 statements, one of 500, and four statements of its own.
//
// Everything runs on one thread. A figure is the median of several samples of
// CPU time. Memory is what is still used after a garbage collection when the
// snapshot is gone.
package main
