package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Tables is the whole reference, sorted, as it is written.
type Tables struct {
	Version  string // of the npm package
	Services []Service
}

// Service is one service's part of the reference.
type Service struct {
	Prefix        string
	Name          string
	RCP           bool // resource control policies apply to it
	Keys          []Key
	ResourceTypes []ResourceType
	Actions       []Action
}

// Key is a condition key. Type is one letter, see keyTypes.
type Key struct {
	Name string
	Type string
}

// ResourceType is a kind of resource. Keys are indices into Service.Keys.
type ResourceType struct {
	Name string
	ARN  string // without "arn:${Partition}:"
	Keys []int
}

// Action is one action. Level is one letter, see accessLevels.
type Action struct {
	Name      string
	Level     string
	Resources []ActionResource
	Keys      []int
}

// ActionResource is a resource type an action works on.
type ActionResource struct {
	Type     int // index into Service.ResourceTypes
	Required bool
	Keys     []int
}

var accessLevels = map[string]string{
	"List":                          "L",
	"Read":                          "R",
	"Write":                         "W",
	"Tagging, Write":                "T",
	"Permissions management, Write": "P",
}

var keyTypes = map[string]string{
	"String":        "s",
	"ArrayOfString": "S",
	"ARN":           "a",
	"ArrayOfARN":    "A",
	"Bool":          "b",
	"ArrayOfBool":   "B",
	"Numeric":       "n",
	"Date":          "d",
	"IPAddress":     "i",
}

// The shapes of the package's JSON files, as far as they are read.
type (
	sourceAction struct {
		Name             string
		AccessLevel      string
		ResourceTypes    []sourceActionResource
		ConditionKeys    []string
		DependentActions []string
	}
	sourceActionResource struct {
		Name             string
		Required         bool
		ConditionKeys    []string
		DependentActions []string
	}
	sourceKey          struct{ Key, Type string }
	sourceResourceType struct {
		Key           string
		ARN           string
		ConditionKeys []string
	}
)

// read turns the unpacked npm package in dir into tables. It fails when it
// meets something the tables cannot express, so that an update never loses
// information silently.
func read(dir string) (*Tables, error) {
	var manifest struct{ Version string }
	if err := readJSON(&manifest, dir, "package.json"); err != nil {
		return nil, err
	}
	var prefixes, rcp []string
	var names map[string]string
	if err := readJSON(&prefixes, dir, "data", "services.json"); err != nil {
		return nil, err
	}
	if err := readJSON(&names, dir, "data", "serviceNames.json"); err != nil {
		return nil, err
	}
	if err := readJSON(&rcp, dir, "data", "rcpSupportedServices.json"); err != nil {
		return nil, err
	}
	slices.Sort(prefixes)
	tables := &Tables{Version: manifest.Version}
	for _, prefix := range prefixes {
		s, err := readService(dir, prefix)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", prefix, err)
		}
		s.Name = names[prefix]
		s.RCP = slices.Contains(rcp, prefix)
		tables.Services = append(tables.Services, *s)
	}
	return tables, nil
}

func readService(dir, prefix string) (*Service, error) {
	var keys map[string]sourceKey
	var types map[string]sourceResourceType
	var actions map[string]sourceAction
	if err := readJSON(&keys, dir, "data", "conditionKeys", prefix+".json"); err != nil {
		return nil, err
	}
	if err := readJSON(&types, dir, "data", "resourceTypes", prefix+".json"); err != nil {
		return nil, err
	}
	if err := readJSON(&actions, dir, "data", "actions", prefix+".json"); err != nil {
		return nil, err
	}

	s := &Service{Prefix: prefix}
	keyIndex := make(map[string]int) // lower-case name -> index into s.Keys
	for _, id := range sortedKeys(keys) {
		letter, ok := keyTypes[keys[id].Type]
		if !ok {
			return nil, fmt.Errorf("condition key %s: unknown type %q", id, keys[id].Type)
		}
		keyIndex[strings.ToLower(keys[id].Key)] = len(s.Keys)
		s.Keys = append(s.Keys, Key{Name: keys[id].Key, Type: letter})
	}
	// Some actions name a key that the service's own table leaves out; such a
	// key is kept, with its type unknown.
	indexKeys := func(names []string) []int {
		var indices []int
		for _, name := range names {
			i, ok := keyIndex[strings.ToLower(name)]
			if !ok {
				i = len(s.Keys)
				keyIndex[strings.ToLower(name)] = i
				s.Keys = append(s.Keys, Key{Name: name, Type: "?"})
			}
			if !slices.Contains(indices, i) {
				indices = append(indices, i)
			}
		}
		slices.Sort(indices)
		return indices
	}

	typeIndex := make(map[string]int)
	for _, id := range sortedKeys(types) {
		t := types[id]
		arn, ok := strings.CutPrefix(t.ARN, "arn:${Partition}:")
		if !ok {
			return nil, fmt.Errorf("resource type %s: ARN %q", id, t.ARN)
		}
		typeIndex[strings.ToLower(t.Key)] = len(s.ResourceTypes)
		s.ResourceTypes = append(s.ResourceTypes, ResourceType{Name: t.Key, ARN: arn, Keys: indexKeys(t.ConditionKeys)})
	}

	for _, id := range sortedKeys(actions) {
		a := actions[id]
		letter, ok := accessLevels[a.AccessLevel]
		if !ok {
			return nil, fmt.Errorf("action %s: unknown access level %q", id, a.AccessLevel)
		}
		if len(a.DependentActions) > 0 {
			return nil, fmt.Errorf("action %s: the package now has dependent actions; teach the format about them", id)
		}
		action := Action{Name: a.Name, Level: letter, Keys: indexKeys(a.ConditionKeys)}
		for _, r := range a.ResourceTypes {
			i, ok := typeIndex[strings.ToLower(r.Name)]
			if !ok {
				return nil, fmt.Errorf("action %s: unknown resource type %q", id, r.Name)
			}
			if len(r.DependentActions) > 0 {
				return nil, fmt.Errorf("action %s: the package now has dependent actions; teach the format about them", id)
			}
			action.Resources = append(action.Resources, ActionResource{Type: i, Required: r.Required, Keys: indexKeys(r.ConditionKeys)})
		}
		sort.SliceStable(action.Resources, func(i, j int) bool { return action.Resources[i].Type < action.Resources[j].Type })
		s.Actions = append(s.Actions, action)
	}
	return s, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func readJSON(into any, path ...string) error {
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(path...), err)
	}
	return nil
}
