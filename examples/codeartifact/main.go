// Codeartifact lets npm and pip read packages out of another account's repository,
// with the policies that a manifest declares, in AWS accounts that run inside this
// program:
//
//	go run .
//
// It needs the aws command, npm with node, and python3 with pip. They reach nothing
// but the sandbox.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "codeartifact:", err)
		os.Exit(1)
	}
}
