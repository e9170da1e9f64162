package broker_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/broker"
)

func TestListenLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "127.3.2.1:0": true, "[::1]:0": true,
		"0.0.0.0:0": false, "[::]:0": false, ":0": false, "localhost:0": false, "10.0.0.1:0": false, "169.254.170.2:0": false,
		"127.0.0.1": false, "[::ffff:10.0.0.1]:0": false, "example.com:80": false, "": false, "127.1:0": false,
	} {
		listener, err := broker.ListenLoopback(t.Context(), address)
		if err == nil {
			if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
				t.Errorf("%s: listens on %s", address, listener.Addr())
			}
			listener.Close()
		}
		if want && broker.CodeOf(err) == broker.CodeUnavailable && strings.HasPrefix(address, "[") {
			t.Logf("this machine has no IPv6: %v", err)
			continue
		}
		if (err == nil) != want || !want && broker.CodeOf(err) != broker.CodeInvalidRequest {
			t.Errorf("%q: got %v, want it to listen: %t", address, err, want)
		}
	}
	taken, err := broker.ListenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := broker.ListenLoopback(t.Context(), taken.Addr().String()); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("a port that is taken: got %v", err)
	}
}

// overSocket is a client that connects to a Unix socket.
func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}, DisableKeepAlives: true}}
}

func serve(t *testing.T, e *testEndpoint, listener net.Listener) {
	t.Helper()
	server := e.Server()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func fetch(t *testing.T, client *http.Client, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestEndpointServes(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{}, "acme")
	listener, err := broker.ListenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, e, listener)
	if status, body := fetch(t, http.DefaultClient, "http://"+listener.Addr().String()+"/credentials/acme", token); status != 200 || !strings.Contains(body, "ASIAacme") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestListenUnix(t *testing.T) {
	e, token := withToken(t, broker.EndpointConfig{}, "acme")
	path := filepath.Join(t.TempDir(), "endpoint.sock")
	stale(t, path)
	listener, err := broker.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, e, listener)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket has the mode %s", info.Mode())
	}
	if got := files(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left are %v, want the socket", got)
	}
	client := overSocket(path)
	if status, body := fetch(t, client, "http://localhost/credentials/acme", token); status != 200 || !strings.Contains(body, "ASIAacme") {
		t.Errorf("got %d %s", status, body)
	}
	if status, _ := fetch(t, client, "http://localhost/credentials/acme", flipLast(token)); status != 401 {
		t.Errorf("a socket does not replace the token: got %d", status)
	}
	if _, err := broker.ListenUnix(t.Context(), path); broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("a socket in use: got %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := broker.ListenUnix(gone, path); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("a context that ended: got %v", err)
	}
	if status, _ := fetch(t, client, "http://localhost/credentials/acme", token); status != 200 {
		t.Errorf("after others wanted the socket: got %d", status)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// stale makes a socket that nobody listens on.
func stale(t *testing.T, path string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenUnixRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.ListenUnix(t.Context(), path); broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("a file: got %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "notes" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if _, err := broker.ListenUnix(t.Context(), filepath.Join(t.TempDir(), "no", "folder")); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("no folder: got %v", err)
	}
}
