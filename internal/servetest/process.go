package servetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/crossaccount/crossaccount/api"
)

// A Process is a running `crossaccount serve`.
type Process struct {
	URL   string
	Ready time.Duration // from its start until /readyz said so

	command *exec.Cmd
	log     *logBuffer
	ended   chan struct{} // closed when err is set
	err     error
}

// Serve starts a server in the world's folder: the program with its arguments,
// to which "serve --json" is added, and environment variables beside those of
// the world. It returns when the server is ready. Every server of a world uses
// the same database.
func (w *World) Serve(ctx context.Context, program []string, environment ...string) (*Process, error) {
	p := &Process{log: new(logBuffer), ended: make(chan struct{})}
	arguments := append(append([]string{}, program[1:]...), "serve", "--json")
	p.command = exec.CommandContext(ctx, program[0], arguments...)
	p.command.Dir = w.folder
	p.command.Env = append(append([]string{}, w.environment...), environment...)
	p.command.Stderr = p.log
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	line, readErr := bufio.NewReader(output).ReadBytes('\n')
	go func() {
		_, _ = io.Copy(io.Discard, output) // Wait closes the pipe
		p.err = p.command.Wait()
		close(p.ended)
	}()
	var address struct{ URL string }
	if readErr == nil {
		readErr = json.Unmarshal(line, &address)
	}
	if readErr != nil {
		_ = p.Kill()
		return nil, fmt.Errorf("the server did not say where it is: %w\n%s", readErr, p.Log())
	}
	p.URL = address.URL
	if err := p.awaitReady(ctx); err != nil {
		_ = p.Kill()
		return nil, fmt.Errorf("%w\n%s", err, p.Log())
	}
	p.Ready = time.Since(started)
	return p, nil
}

// Run runs another command of the program in the world's folder and returns what
// it prints to standard output. The error has what it said besides.
func (w *World) Run(ctx context.Context, program, environment []string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, program[0], append(append([]string{}, program[1:]...), arguments...)...)
	command.Dir = w.folder
	command.Env = append(append([]string{}, w.environment...), environment...)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", arguments, err, said.String())
	}
	return string(out), err
}

func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := p.Client(nil)
	if err != nil {
		return err
	}
	for {
		err := client.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server does not become ready: %w", err)
		case <-p.ended:
			return fmt.Errorf("the server ended: %w", p.err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Client returns an operator's client of the server's API. The transport may be
// nil.
func (p *Process) Client(transport http.RoundTripper) (*api.Client, error) {
	return api.NewClient(p.URL, api.WithToken(Token), api.WithHTTPClient(&http.Client{Transport: transport, Timeout: time.Minute}))
}

// Kill ends the server with SIGKILL, as a loss of power would, and waits until
// it is gone.
func (p *Process) Kill() error {
	_ = p.command.Process.Kill() // it may have ended by itself, which err says
	<-p.ended
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the server had ended by itself: %w\n%s", p.err, p.Log())
}

// Interrupt asks the server to end.
func (p *Process) Interrupt() error { return p.command.Process.Signal(os.Interrupt) }

// Wait waits until the server has ended. The error is nil if it ended in order.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Log returns what the server wrote to standard error so far.
func (p *Process) Log() string { return p.log.String() }

// CPU returns the processor time that the server used. It must have ended.
func (p *Process) CPU() time.Duration {
	state := p.command.ProcessState
	return state.UserTime() + state.SystemTime()
}

// Memory returns the most memory that the server has held so far (its peak
// resident set), in bytes. Only Linux tells.
func (p *Process) Memory() (int64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory the process has held")
}

// Transport returns a transport for many requests at the same time.
func Transport(connections int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
	return t
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
