//go:build linux || darwin

package cli

import (
	"os"
	"syscall"
	"unsafe"
)

// terminalWidth returns the columns of a terminal, or 0.
func terminalWidth(f *os.File) int {
	var size struct{ rows, columns, _, _ uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), uintptr(syscall.TIOCGWINSZ), uintptr(unsafe.Pointer(&size))) //nolint:gosec // the kernel writes the size there
	if errno != 0 {
		return 0
	}
	return int(size.columns)
}
