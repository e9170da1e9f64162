package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The file is a four-byte big-endian length, that many bytes of index, and
// one block per service. Index and blocks are raw DEFLATE streams of text, so
// that looking up one service inflates that service alone.
//
// The index begins with the version of the source; each further line is
// prefix, name, "rcp" or nothing, and the length of the service's block,
// separated by tabs. Blocks follow each other in this order.
//
// A block has one line per condition key, resource type and action, in that
// order. Lists of keys and types are indices into the block's own lines:
//
//	k  name  type letter
//	r  name  ARN without "arn:${Partition}:"  keys
//	a  name  level letter                     resources  keys
//
// A resource is its type's index, "!" if it is required, and "/" and keys
// joined by "." if it has its own. Trailing empty fields are left out.

// text returns a service's block before compression.
func (s *Service) text() string {
	var b strings.Builder
	line := func(fields ...string) {
		b.WriteString(strings.TrimRight(strings.Join(fields, "\t"), "\t"))
		b.WriteByte('\n')
	}
	for _, k := range s.Keys {
		line("k", k.Name, k.Type)
	}
	for _, r := range s.ResourceTypes {
		line("r", r.Name, r.ARN, join(r.Keys, ","))
	}
	for _, a := range s.Actions {
		var resources []string
		for _, r := range a.Resources {
			text := strconv.Itoa(r.Type)
			if r.Required {
				text += "!"
			}
			if len(r.Keys) > 0 {
				text += "/" + join(r.Keys, ".")
			}
			resources = append(resources, text)
		}
		line("a", a.Name, a.Level, strings.Join(resources, ","), join(a.Keys, ","))
	}
	return b.String()
}

func join(indices []int, separator string) string {
	texts := make([]string, len(indices))
	for i, n := range indices {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, separator)
}

// pack writes the file.
func pack(t *Tables) ([]byte, error) {
	var index strings.Builder
	var blocks bytes.Buffer
	index.WriteString(t.Version + "\n")
	for i := range t.Services {
		s := &t.Services[i]
		for _, field := range []string{s.Prefix, s.Name} {
			if strings.ContainsAny(field, "\t\n") {
				return nil, fmt.Errorf("service %q: tab or newline in %q", s.Prefix, field)
			}
		}
		block, err := deflate(s.text())
		if err != nil {
			return nil, err
		}
		rcp := ""
		if s.RCP {
			rcp = "rcp"
		}
		fmt.Fprintf(&index, "%s\t%s\t%s\t%d\n", s.Prefix, s.Name, rcp, len(block))
		blocks.Write(block)
	}
	head, err := deflate(index.String())
	if err != nil {
		return nil, err
	}
	file := binary.BigEndian.AppendUint32(nil, uint32(len(head)))
	file = append(file, head...)
	return append(file, blocks.Bytes()...), nil
}

// unpackText returns everything in a packed file as one text, for comparing
// two files whatever version of Go compressed them.
func unpackText(file []byte) (string, error) {
	if len(file) < 4 {
		return "", io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint32(file))
	if len(file) < 4+n {
		return "", io.ErrUnexpectedEOF
	}
	index, err := inflate(file[4 : 4+n])
	if err != nil {
		return "", err
	}
	rest := file[4+n:]
	version, lines, _ := strings.Cut(index, "\n")
	var b strings.Builder
	b.WriteString(version + "\n")
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 {
			return "", fmt.Errorf("index line %q", line)
		}
		size, err := strconv.Atoi(fields[3])
		if err != nil || size > len(rest) {
			return "", fmt.Errorf("index line %q: block length", line)
		}
		block, err := inflate(rest[:size])
		if err != nil {
			return "", fmt.Errorf("%s: %w", fields[0], err)
		}
		rest = rest[size:]
		fmt.Fprintf(&b, "%s\t%s\t%s\n%s", fields[0], fields[1], fields[2], block)
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("%d bytes after the last block", len(rest))
	}
	return b.String(), nil
}

func deflate(text string) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func inflate(data []byte) (string, error) {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	return string(text), err
}
