package reference

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The layout of the file is described in tools/genreference/format.go.
//
//go:embed services.bin
var servicesBin []byte

// catalogue is the decoded index.
type catalogue struct {
	version  string
	prefixes []string // sorted
	byPrefix map[string]*entry
}

// entry is a service that may not be decoded yet.
type entry struct {
	prefix, name string
	rcp          bool
	block        []byte
	decode       func() *Service // once
}

// The embedded file is part of the program and its tests decode all of it, so
// that a damaged file cannot reach anybody; decoding therefore panics instead
// of giving every lookup an error.
var loadCatalogue = sync.OnceValue(func() *catalogue {
	c, err := decodeIndex(servicesBin)
	if err != nil {
		panic("iam/reference: services.bin: " + err.Error())
	}
	return c
})

func decodeIndex(file []byte) (*catalogue, error) {
	if len(file) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	size := int(binary.BigEndian.Uint32(file))
	if len(file) < 4+size {
		return nil, io.ErrUnexpectedEOF
	}
	index, err := inflate(file[4 : 4+size])
	if err != nil {
		return nil, err
	}
	blocks := file[4+size:]
	version, lines, _ := strings.Cut(index, "\n")
	c := &catalogue{version: version, byPrefix: make(map[string]*entry)}
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 {
			return nil, fmt.Errorf("index line %q", line)
		}
		n, err := strconv.Atoi(fields[3])
		if err != nil || n < 0 || n > len(blocks) {
			return nil, fmt.Errorf("index line %q: bad length", line)
		}
		e := &entry{prefix: fields[0], name: fields[1], rcp: fields[2] == "rcp", block: blocks[:n]}
		e.decode = sync.OnceValue(func() *Service {
			s, err := decodeService(e)
			if err != nil {
				panic("iam/reference: services.bin: " + e.prefix + ": " + err.Error())
			}
			return s
		})
		blocks = blocks[n:]
		c.prefixes = append(c.prefixes, e.prefix)
		c.byPrefix[e.prefix] = e
	}
	return c, nil
}

func decodeService(e *entry) (*Service, error) {
	text, err := inflate(e.block)
	if err != nil {
		return nil, err
	}
	s := &Service{
		Prefix:                  e.prefix,
		Name:                    e.name,
		ResourceControlPolicies: e.rcp,
		actionIndex:             make(map[string]int),
	}
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for len(fields) < 5 {
			fields = append(fields, "")
		}
		var err error
		switch fields[0] {
		case "k":
			s.keys = append(s.keys, ConditionKey{Name: fields[1], Type: keyTypeOfLetter(fields[2])})
		case "r":
			err = s.addResourceType(fields)
		case "a":
			err = s.addAction(fields)
		default:
			err = fmt.Errorf("unknown kind of line")
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	return s, nil
}

func (s *Service) addResourceType(fields []string) error {
	keys, err := s.keyNames(fields[3], ",")
	if err != nil {
		return err
	}
	arn := "arn:${Partition}:" + fields[2]
	s.resourceTypes = append(s.resourceTypes, &ResourceType{
		Name:          fields[1],
		ARN:           arn,
		ConditionKeys: keys,
		pattern:       templatePattern(arn),
	})
	return nil
}

func (s *Service) addAction(fields []string) error {
	a := &Action{Service: s.Prefix, Name: fields[1], Level: levelOfLetter(fields[2])}
	var err error
	if a.ConditionKeys, err = s.keyNames(fields[4], ","); err != nil {
		return err
	}
	for text := range strings.SplitSeq(fields[3], ",") {
		if text == "" {
			continue
		}
		text, keys, _ := strings.Cut(text, "/")
		text, required := strings.CutSuffix(text, "!")
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(s.resourceTypes) {
			return fmt.Errorf("resource type %q", text)
		}
		r := ActionResource{Type: s.resourceTypes[i], Required: required}
		if r.ConditionKeys, err = s.keyNames(keys, "."); err != nil {
			return err
		}
		a.Resources = append(a.Resources, r)
	}
	s.actionIndex[strings.ToLower(a.Name)] = len(s.actions)
	s.actions = append(s.actions, a)
	return nil
}

func (s *Service) keyNames(list, separator string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var names []string
	for text := range strings.SplitSeq(list, separator) {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(s.keys) {
			return nil, fmt.Errorf("condition key %q", text)
		}
		names = append(names, s.keys[i].Name)
	}
	return names, nil
}

func keyTypeOfLetter(letter string) KeyType {
	switch letter {
	case "s":
		return KeyType{Kind: KeyString}
	case "S":
		return KeyType{Kind: KeyString, Multivalued: true}
	case "a":
		return KeyType{Kind: KeyARN}
	case "A":
		return KeyType{Kind: KeyARN, Multivalued: true}
	case "b":
		return KeyType{Kind: KeyBool}
	case "B":
		return KeyType{Kind: KeyBool, Multivalued: true}
	case "n":
		return KeyType{Kind: KeyNumeric}
	case "d":
		return KeyType{Kind: KeyDate}
	case "i":
		return KeyType{Kind: KeyIPAddress}
	}
	return KeyType{}
}

func levelOfLetter(letter string) AccessLevel {
	switch letter {
	case "L":
		return LevelList
	case "R":
		return LevelRead
	case "T":
		return LevelTagging
	case "P":
		return LevelPermissionsManagement
	}
	return LevelWrite
}

func inflate(data []byte) (string, error) {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	return string(text), err
}
