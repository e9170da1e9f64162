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
	Stack      string            // the path of the stack, "Stage/Stack"
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
	for _, e := range artifacts.Entries {
		properties := e.Value.Get("properties")
		switch textOf(e.Value.Get("type")) {
		case "aws:cloudformation:stack":
			if err := a.stack(folder, e, textOf(properties.Get("templateFile"))); err != nil {
				return err
			}
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

func (a *assembly) stack(folder string, artifact cfn.Entry, file string) error {
	file, err := inside(folder, file)
	if err != nil {
		return err
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
			return err
		}
		metadata, err := a.parse(name)
		if err != nil {
			return err
		}
		constructs(metadata, t.Constructs)
	}
	return a.add(folder, t, 0)
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

// add adds a template and those of its nested stacks, which their resources
// name.
func (a *assembly) add(folder string, t AssemblyTemplate, depth int) error {
	if a.seen[t.File] || depth > maxAssemblies {
		return nil
	}
	a.seen[t.File] = true
	a.templates = append(a.templates, t)
	root, err := a.parse(t.File)
	if err != nil {
		var syntax *cfn.SyntaxError
		if errors.As(err, &syntax) {
			return nil // is said when the template itself is read
		}
		return err
	}
	for _, r := range entries(root.Get("Resources")) {
		name := textOf(r.Value.Get("Metadata").Get("aws:asset:path"))
		if textOf(r.Value.Get("Type")) != "AWS::CloudFormation::Stack" || name == "" {
			continue
		}
		file, err := inside(folder, name)
		if err != nil {
			return err
		}
		nested := AssemblyTemplate{File: file, Stack: t.Stack + "/" + r.Key, Account: t.Account}
		if err := a.add(folder, nested, depth+1); err != nil {
			return err
		}
	}
	return nil
}
