package policies

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// ErrNoAssembly says that a manifest.json is not that of a CDK application.
var ErrNoAssembly = errors.New("not the manifest of a CDK cloud assembly")

// An AssemblyTemplate is a template that the CDK made.
type AssemblyTemplate struct {
	File       string            // slash-separated, relative to the outermost assembly
	Stack      string            // the path of the stack, "Stage/Stack"; of a nested stack, that of the outer one
	Account    iam.AccountID     // empty if the stack is for any account
	Constructs map[string]string // the constructs' paths by logical ID
}

// maxAssemblies bounds how deep assemblies of stages are nested.
const maxAssemblies = 10

// ReadAssembly lists the templates of a CDK cloud assembly (cdk.out), those of
// nested stacks and of stages included, in the order of their names. read
// returns a file of the assembly by its slash-separated name. The error is
// [ErrNoAssembly], or says which file cannot be read.
//
// https://github.com/aws/aws-cdk-cli/tree/main/packages/%40aws-cdk/cloud-assembly-schema
func ReadAssembly(read func(name string) ([]byte, error)) ([]AssemblyTemplate, error) {
	a := &assembly{read: read, seen: make(map[string]bool)}
	if err := a.folder("", 0); err != nil {
		return nil, err
	}
	sort.Slice(a.templates, func(i, j int) bool { return a.templates[i].File < a.templates[j].File })
	return a.templates, nil
}

type assembly struct {
	read      func(name string) ([]byte, error)
	templates []AssemblyTemplate
	seen      map[string]bool
}

func (a *assembly) parse(name string) (*cfn.Node, error) {
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	root, err := cfn.Dialect{MaxSize: MaxSize}.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return root, nil
}

func (a *assembly) folder(folder string, depth int) error {
	if depth > maxAssemblies {
		return fmt.Errorf("%s: assemblies are nested more than %d deep", folder, maxAssemblies)
	}
	manifest, err := a.parse(path.Join(folder, "manifest.json"))
	if err != nil {
		return err
	}
	artifacts := manifest.Get("artifacts")
	if artifacts == nil || artifacts.Kind != cfn.NodeMap || manifest.Get("version") == nil {
		return ErrNoAssembly
	}
	accounts := make(map[string]AssemblyTemplate) // by the name of the stack's artifact
	var assets []cfn.Entry
	for _, e := range artifacts.Entries {
		properties := e.Value.Get("properties")
		switch textOf(e.Value.Get("type")) {
		case "aws:cloudformation:stack":
			t, err := a.stack(folder, e, textOf(properties.Get("templateFile")))
			if err != nil {
				return err
			}
			accounts[e.Key] = t
		case "cdk:asset-manifest":
			assets = append(assets, e)
		case "cdk:cloud-assembly":
			name, err := inside(folder, textOf(properties.Get("directoryName")))
			if err != nil {
				return err
			}
			if err := a.folder(name, depth+1); err != nil {
				return err
			}
		}
	}
	for _, e := range assets {
		if err := a.nested(folder, e, accounts[strings.TrimSuffix(e.Key, ".assets")]); err != nil {
			return err
		}
	}
	return nil
}

// inside joins names, and refuses one that leads out of the assembly.
func inside(folder, name string) (string, error) {
	joined := path.Join(folder, name)
	if name == "" || path.IsAbs(name) || joined == ".." || strings.HasPrefix(joined, "../") {
		return "", fmt.Errorf("the manifest of the assembly names the file %q, which is not inside it", clip(name))
	}
	return joined, nil
}

func (a *assembly) stack(folder string, artifact cfn.Entry, file string) (AssemblyTemplate, error) {
	file, err := inside(folder, file)
	if err != nil {
		return AssemblyTemplate{}, err
	}
	stack := textOf(artifact.Value.Get("displayName"))
	if stack == "" {
		stack = artifact.Key
	}
	t := AssemblyTemplate{File: file, Stack: stack, Constructs: make(map[string]string)}
	// "aws://111122223333/eu-west-1"
	if account, _, ok := strings.Cut(strings.TrimPrefix(textOf(artifact.Value.Get("environment")), "aws://"), "/"); ok {
		if id, err := iam.ParseAccountID(account); err == nil {
			t.Account = id
		}
	}
	constructs(artifact.Value.Get("metadata"), t.Constructs)
	if more := textOf(artifact.Value.Get("additionalMetadataFile")); more != "" {
		name, err := inside(folder, more)
		if err != nil {
			return t, err
		}
		metadata, err := a.parse(name)
		if err != nil {
			return t, err
		}
		constructs(metadata, t.Constructs)
	}
	a.add(t)
	return t, nil
}

// constructs collects the paths of constructs from a stack's metadata.
func constructs(metadata *cfn.Node, into map[string]string) {
	for _, e := range entries(metadata) {
		for _, item := range items(e.Value) {
			if textOf(item.Get("type")) == "aws:cdk:logicalId" {
				into[textOf(item.Get("data"))] = strings.TrimPrefix(e.Key, "/")
			}
		}
	}
}

// nested adds the templates of nested stacks, which are assets of their stack.
func (a *assembly) nested(folder string, artifact cfn.Entry, of AssemblyTemplate) error {
	name, err := inside(folder, textOf(artifact.Value.Get("properties").Get("file")))
	if err != nil {
		return err
	}
	manifest, err := a.parse(name)
	if err != nil {
		return err
	}
	for _, asset := range entries(manifest.Get("files")) {
		file := textOf(asset.Value.Get("source").Get("path"))
		if !strings.HasSuffix(file, ".template.json") {
			continue
		}
		if file, err = inside(folder, file); err != nil {
			return err
		}
		a.add(AssemblyTemplate{File: file, Stack: of.Stack, Account: of.Account, Constructs: of.Constructs})
	}
	return nil
}

func (a *assembly) add(t AssemblyTemplate) {
	if !a.seen[t.File] {
		a.seen[t.File] = true
		a.templates = append(a.templates, t)
	}
}
