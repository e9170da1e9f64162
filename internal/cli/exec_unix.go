//go:build unix

package cli

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// startForwarding starts a child and passes our signals on to it until stop is
// called. What the keys of a terminal send reaches the child by itself.
func startForwarding(child *exec.Cmd) (stop func(), err error) {
	signals := make(chan os.Signal, 16)
	forwarded := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT, syscall.SIGQUIT}
	signal.Notify(signals, forwarded...)
	if err := child.Start(); err != nil {
		signal.Stop(signals)
		return nil, err
	}
	in, _ := child.Stdin.(*os.File)
	terminal := in != nil && terminalWidth(in) > 0
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if terminal && (s == syscall.SIGINT || s == syscall.SIGQUIT) {
					continue
				}
				_ = child.Process.Signal(s) // it may have ended
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}, nil
}

// signalOf returns the signal that ended a process, or 0.
func signalOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
