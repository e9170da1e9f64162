package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/policies"
)

// A lintTarget is a file to lint.
type lintTarget struct {
	name       string // as shown
	named      bool   // on the command line, so that it must be something to lint
	read       func() ([]byte, error)
	account    iam.AccountID     // empty if not known
	constructs map[string]string // CDK constructs by logical ID
}

// lintExtensions are the extensions of files that are looked into.
var lintExtensions = []string{".json", ".yaml", ".yml", ".template", ".tfstate", ".asl", ".policy"}

// collect lists the files below the paths, in the order of paths and names.
func (l *linter) collect(paths []string) (targets []lintTarget, skipped []lintedFile, err error) {
	at := make(map[string]int)
	add := func(more ...lintTarget) {
		for _, t := range more {
			if i, seen := at[t.name]; seen {
				targets[i].named = targets[i].named || t.named
				continue
			}
			at[t.name] = len(targets)
			targets = append(targets, t)
		}
	}
	for _, p := range paths {
		if p == "-" {
			add(lintTarget{name: "<stdin>", named: true, read: func() ([]byte, error) { return readBounded(l.streams.In) }})
			continue
		}
		info, err := os.Stat(p)
		switch {
		case err != nil:
			return nil, nil, err
		case !info.IsDir():
			add(fileTarget(p, true))
			continue
		}
		found, passed, err := l.walk(p)
		if err != nil {
			return nil, nil, err
		}
		add(found...)
		skipped = append(skipped, passed...)
	}
	return targets, skipped, nil
}

func fileTarget(name string, named bool) lintTarget {
	return lintTarget{name: filepath.ToSlash(name), named: named, read: func() ([]byte, error) { return readFile(name) }}
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}

// readBounded reads at most one byte more than a document may have, which is
// then refused for its size.
func readBounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, policies.MaxSize+1))
}

// walk lists the files below a directory. It does not enter hidden directories
// and those of package managers, and does not follow links.
func (l *linter) walk(root string) (targets []lintTarget, skipped []lintedFile, err error) {
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if l.progress.say("looking for files in " + root); entry.IsDir() {
			base := entry.Name()
			if name != root && (strings.HasPrefix(base, ".") || base == "node_modules") {
				skipped = append(skipped, lintedFile{filepath.ToSlash(name), "a directory of tools"})
				return fs.SkipDir
			}
			assembly, ok, err := assemblyTargets(name)
			if err != nil {
				return err
			}
			if ok {
				targets = append(targets, assembly...)
				return fs.SkipDir
			}
			return nil
		}
		switch ext := filepath.Ext(name); {
		case !entry.Type().IsRegular():
			skipped = append(skipped, lintedFile{filepath.ToSlash(name), "not a regular file"})
		case slices.Contains(lintExtensions, ext):
			targets = append(targets, fileTarget(name, false))
		case ext == ".tf":
			skipped = append(skipped, lintedFile{filepath.ToSlash(name), policies.ErrTerraformSource.Error()})
		default:
			skipped = append(skipped, lintedFile{filepath.ToSlash(name), "no known extension"})
		}
		return nil
	})
	return targets, skipped, err
}

// assemblyTargets lists the templates of a directory that the CDK made.
func assemblyTargets(directory string) ([]lintTarget, bool, error) {
	manifest := filepath.Join(directory, "manifest.json")
	data, err := os.ReadFile(manifest)
	if err != nil || !bytes.Contains(data, []byte(`"artifacts"`)) {
		return nil, false, nil
	}
	read := func(name string) ([]byte, error) { return readFile(filepath.Join(directory, filepath.FromSlash(name))) }
	templates, err := policies.ReadAssembly(read)
	if errors.Is(err, policies.ErrNoAssembly) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", filepath.ToSlash(manifest), err)
	}
	var targets []lintTarget
	for _, t := range templates {
		targets = append(targets, lintTarget{
			name: path.Join(filepath.ToSlash(directory), t.File), named: true, account: t.Account, constructs: t.Constructs,
			read: func() ([]byte, error) { return read(t.File) },
		})
	}
	return targets, true, nil
}
