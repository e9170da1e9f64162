package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/template/cfn"
	"github.com/crossaccount/crossaccount/template/policies"
)

// lintConfigFile is read if it is in the working directory.
const lintConfigFile = ".crossaccount-lint.yaml"

// A fileSuppression is a suppression from a flag or a file.
type fileSuppression struct {
	policies.Suppression
	file string // pattern of the files it is for; empty is all
	from string // for messages
}

// concerns reports whether the suppression is for a file. A pattern without a
// slash is compared with the file's name, others with the end of its path.
func (s *fileSuppression) concerns(name string) bool {
	if s.file == "" {
		return true
	}
	parts, pattern := strings.Split(name, "/"), strings.Split(s.file, "/")
	if len(pattern) > len(parts) {
		return false
	}
	ok, err := path.Match(s.file, strings.Join(parts[len(parts)-len(pattern):], "/"))
	return ok && err == nil
}

// readSuppressions reads the flags and the file with suppressions. Every one
// must be usable.
func readSuppressions(config string, flags []string) ([]fileSuppression, error) {
	var found []fileSuppression
	for _, flag := range flags {
		id, reason, _ := strings.Cut(flag, "=")
		s := fileSuppression{from: "--suppress"}
		s.ID, s.Reason = strings.TrimSpace(id), strings.TrimSpace(reason)
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("--suppress: %w", err)
		}
		found = append(found, s)
	}
	name := config
	if name == "" {
		name = lintConfigFile
	}
	data, err := readFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && config == "":
		return found, nil
	case err != nil:
		return nil, err
	}
	root, err := cfn.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fromFile, err := configSuppressions(root, name)
	return append(found, fromFile...), err
}

func configSuppressions(root *cfn.Node, name string) ([]fileSuppression, error) {
	fail := func(n *cfn.Node, format string, args ...any) error {
		return fmt.Errorf("%s:%d:%d: %w", name, n.Position.Line, n.Position.Column, fmt.Errorf(format, args...))
	}
	for _, e := range root.Entries {
		if e.Key != "suppress" {
			return nil, fail(e.Value, "unknown key %q; the file has the key suppress", e.Key)
		}
	}
	list := root.Get("suppress")
	if list == nil || list.Kind != cfn.NodeList {
		return nil, fail(root, "the key suppress must hold a list")
	}
	known := []string{"id", "reason", "file", "where", "path", "optional"}
	var found []fileSuppression
	for _, n := range list.Items {
		values := make(map[string]string)
		for _, e := range n.Entries {
			if !slices.Contains(known, e.Key) || !e.Value.IsScalar() {
				return nil, fail(e.Value, "unknown or unsuitable key %q; a suppression has %s", e.Key, strings.Join(known, ", "))
			}
			values[e.Key] = e.Value.Text
		}
		s := fileSuppression{file: values["file"], from: fmt.Sprintf("%s:%d", name, n.Position.Line)}
		s.ID, s.Reason, s.Path, s.Where = values["id"], values["reason"], values["path"], values["where"]
		s.Optional = values["optional"] == "true"
		if err := s.Check(); err != nil {
			return nil, fail(n, "%w", err)
		}
		if _, err := path.Match(s.file, ""); err != nil {
			return nil, fail(n, "file: %q is not a pattern", s.file)
		}
		found = append(found, s)
	}
	return found, nil
}
