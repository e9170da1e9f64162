package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
)

// ListenLoopback listens on an address such as 127.0.0.1:9911 or [::1]:0. Any
// other than a literal loopback address is refused, names included: what a name
// means is decided elsewhere. SDKs would not accept credentials in clear from
// anywhere else, and nor should anybody be offered them.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func ListenLoopback(ctx context.Context, address string) (net.Listener, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || !parsed.Addr().IsLoopback() || parsed.Addr().Zone() != "" {
		return nil, invalid(fmt.Sprintf("the endpoint listens on loopback addresses only, and %q is not one; use 127.0.0.1:PORT", address))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &Error{Code: CodeUnavailable, Message: "the endpoint cannot listen on " + address, cause: err}
	}
	return listener, nil
}

// ListenUnix listens on a Unix socket of mode 0600. Where the system says who
// connects (Linux), connections of other users than ours and root are closed
// unanswered; elsewhere the mode alone keeps them away ([PeersAreChecked]). The
// socket appears with its mode set. One that a process left behind is replaced;
// one that somebody listens on is not, nor is a file of another kind.
//
// The AWS SDKs do not connect to Unix sockets; our own commands do.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	problem := func(err error) error {
		return &Error{Code: CodeUnavailable, Message: "the endpoint cannot listen on the socket " + path, cause: err}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, problem(err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, problem(err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, invalid(path + " is not a socket; name another path for the endpoint, this file was left as it is")
	default:
		there, err := new(net.Dialer).DialContext(ctx, "unix", path)
		var slow net.Error
		switch {
		case err == nil:
			_ = there.Close()
			return nil, invalid("somebody listens on the socket " + path + " already")
		case ctx.Err() != nil, errors.Is(err, fs.ErrPermission), errors.As(err, &slow) && slow.Timeout():
			return nil, problem(err) // somebody may well listen
		}
	}
	// Made where nobody else can come and moved when it is ready.
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, problem(err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", made)
	if err != nil {
		return nil, problem(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, problem(errors.Join(err, listener.Close()))
	}
	return &unixListener{UnixListener: listener.(*net.UnixListener), path: path}, nil
}

// PeersAreChecked reports whether [ListenUnix] learns from this system who
// connects.
const PeersAreChecked = peersAreChecked

// A unixListener accepts connections of our own user and root.
type unixListener struct {
	*net.UnixListener
	path   string
	closed sync.Once
}

// Accept implements [net.Listener].
func (l *unixListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if allowedPeer(connection) {
			return connection, nil
		}
		_ = connection.Close() // whoever it is, it is not for him
	}
}

// Addr implements [net.Listener].
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close implements [net.Listener] and removes the socket.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	l.closed.Do(func() { err = errors.Join(err, remove(l.path)) })
	return err
}
