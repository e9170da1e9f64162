//go:build !linux && !darwin

package cli

import (
	"os"
	"strconv"
)

// terminalWidth returns the columns that the shell exports, or 0.
func terminalWidth(*os.File) int {
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return n
}
