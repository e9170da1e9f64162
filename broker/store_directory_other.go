//go:build !unix || solaris || aix

package broker

import (
	"errors"
	"io/fs"
	"os"
)

const canLock = false

func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func ours(fs.FileInfo) bool { return false }
