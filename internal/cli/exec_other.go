//go:build !unix

package cli

import (
	"os"
	"os/exec"
	"os/signal"
)

// startForwarding starts a child. Interrupts reach it by themselves, and must not
// end us before it.
func startForwarding(child *exec.Cmd) (stop func(), err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	if err := child.Start(); err != nil {
		signal.Stop(signals)
		return nil, err
	}
	return func() { signal.Stop(signals) }, nil
}

// signalOf returns the signal that ended a process, or 0.
func signalOf(*os.ProcessState) int { return 0 }
