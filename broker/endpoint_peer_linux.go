package broker

import (
	"net"
	"os"
	"syscall"
)

const peersAreChecked = true

// allowedPeer reports whether a connection was made by our own user or by root,
// who could read our memory anyway.
//
// https://man7.org/linux/man-pages/man7/unix.7.html (SO_PEERCRED)
func allowedPeer(connection *net.UnixConn) bool {
	raw, err := connection.SyscallConn()
	if err != nil {
		return false
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return err == nil && failed == nil && (peer.Uid == uint32(os.Geteuid()) || peer.Uid == 0)
}
