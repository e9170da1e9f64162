package server

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// YAMLToJSON turns a YAML document into JSON. A plain number with a leading
// zero, as account ids may have, stays text instead of losing the zero.
func YAMLToJSON(data []byte) ([]byte, error) {
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
	return nil, fmt.Errorf("line %d: aliases are not supported here", n.Line)
}
