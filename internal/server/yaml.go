package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ReadDocument turns a configuration file in YAML or JSON into JSON without
// duplicate keys. Only a file whose name ends in .json must be JSON. A plain
// number with a leading zero, as account ids may have, stays text in YAML
// instead of losing the zero.
func ReadDocument(name string, data []byte) ([]byte, error) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("is empty")
	case json.Valid(data):
		return data, checkKeys(json.NewDecoder(bytes.NewReader(data)), "")
	case strings.EqualFold(filepath.Ext(name), ".json"):
		return nil, invalidJSON(data)
	}
	return yamlToJSON(data)
}

// invalidJSON says where JSON goes wrong.
func invalidJSON(data []byte) error {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, new(any)); errors.As(err, &syntax) {
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("line %d: %w", line, syntax)
	}
	return errors.New("is not valid JSON")
}

// checkKeys refuses an object that has a key twice, of which encoding/json
// would silently keep the last.
func checkKeys(d *json.Decoder, path string) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		at := path
		if delim == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			at += key
			if seen[key] {
				return fmt.Errorf("the key %q appears twice", at)
			}
			seen[key] = true
			at += "."
		}
		if err := checkKeys(d, at); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func yamlToJSON(data []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	value, err := plainValue(&document, 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

func plainValue(n *yaml.Node, depth int) (any, error) {
	if depth > 32 {
		return nil, fmt.Errorf("line %d: nested too deep", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return nil, errors.New("is empty")
		}
		return plainValue(n.Content[0], depth+1)
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if _, twice := object[key.Value]; twice {
				return nil, fmt.Errorf("line %d: the key %q appears twice", key.Line, key.Value)
			}
			value, err := plainValue(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			if number, ok := value.(json.Number); ok && strings.HasSuffix(key.Value, "_id") {
				value = number.String()
			}
			object[key.Value] = value
		}
		return object, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			value, err := plainValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!null":
			return nil, nil
		case "!!bool":
			return strconv.ParseBool(n.Value)
		case "!!int", "!!float":
			if json.Valid([]byte(n.Value)) {
				return json.Number(n.Value), nil
			}
		}
		return n.Value, nil
	}
	if n.Kind == 0 {
		return nil, errors.New("is empty") // only comments
	}
	return nil, fmt.Errorf("line %d: aliases are not supported here", n.Line)
}
