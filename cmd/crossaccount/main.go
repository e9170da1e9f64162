// Command crossaccount gets and gives AWS access across accounts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/crossaccount/crossaccount/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
