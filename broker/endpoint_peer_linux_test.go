package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/crossaccount/crossaccount/broker"
)

// Another user is sent away by the system's word on who he is, even if the mode
// of the socket let him in.
func TestListenUnixChecksPeers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: to connect as another user, the test must be root")
	}
	e, token := withToken(t, broker.EndpointConfig{}, "acme")
	dir, err := os.MkdirTemp("", "peer") //nolint:usetesting // t.TempDir keeps other users out
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := broker.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, e, listener)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	try := func(uid uintptr) (string, error) {
		type result struct {
			text string
			err  error
		}
		results := make(chan result)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its user
			text, err := func() (string, error) {
				if uid != 0 {
					// Of this thread alone, which the functions of package syscall avoid.
					if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0)); errno != 0 {
						return "", errno
					}
				}
				connection, err := net.Dial("unix", path) //nolint:noctx // in this thread
				if err != nil {
					return "", err
				}
				defer connection.Close()
				_, _ = io.WriteString(connection, "GET /credentials/acme HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: "+token+"\r\n\r\n")
				data, _ := io.ReadAll(connection)
				return string(data), nil
			}()
			results <- result{text, err}
		}()
		r := <-results
		return r.text, r.err
	}
	if text, err := try(0); err != nil || !strings.Contains(text, "ASIAacme") {
		t.Errorf("our own user: got %q %v", text, err)
	}
	if text, err := try(65534); err != nil || text != "" {
		t.Errorf("another user: got %q %v, want a connection that is closed", text, err)
	}
}
