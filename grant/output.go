package grant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/terraform"
)

// A File is one file of the output. Its path uses slashes.
type File struct {
	Path       string
	Data       []byte
	Executable bool
}

// Files returns everything there is to write: the stacks' documents, PLAN.md,
// plan.json, and scripts that deploy and remove. The same plan gives the same
// bytes.
func (p *Plan) Files() ([]File, error) {
	var files []File
	for _, s := range p.Stacks() {
		if s.Template != nil && p.Format != Policies {
			name, data := "template.json", s.data
			if p.Format == Terraform {
				var err error
				if data, err = terraform.Write(s.Template); err != nil {
					return nil, fmt.Errorf("stack %s: %w", s.Name, err)
				}
				name = "main.tf.json"
			}
			files = append(files, File{Path: s.Directory + "/" + name, Data: data})
		}
		for _, a := range s.Applies {
			data := a.Data
			if data == nil {
				data = plain(a.Policy)
			}
			files = append(files, File{Path: s.Directory + "/" + a.File, Data: data})
			if a.After != nil {
				after := a.AfterData
				if after == nil {
					after = plain(a.After)
				}
				files = append(files, File{Path: s.Directory + "/" + removedFile(a.File), Data: after})
			}
		}
	}
	for _, k := range p.Kubernetes {
		files = append(files, File{Path: k.Path, Data: k.Data})
	}
	plan, err := p.JSON()
	if err != nil {
		return nil, err
	}
	files = append(files, File{Path: "PLAN.md", Data: p.Markdown()}, File{Path: "plan.json", Data: plan})
	if p.Format != Policies {
		files = append(files, File{Path: "deploy.sh", Data: p.deployScript(), Executable: true}, File{Path: "remove.sh", Data: p.removeScript(), Executable: true})
	}
	return files, nil
}

func removedFile(name string) string { return strings.TrimSuffix(name, ".json") + ".removed.json" }

// plain writes a document. What only AWS knows stands in angle brackets.
func plain(p *iam.Policy) []byte {
	return []byte(iam.ReplaceSymbols(string(p.Indent()), func(id string) string {
		if key, attribute, ok := splitUnitValue(id); ok {
			return "<" + attribute + " of " + key + ">"
		}
		return "<" + id + ">"
	}))
}

// JSON returns plan.json: the plan with the commands of every stack.
func (p *Plan) JSON() ([]byte, error) {
	type stack struct {
		*Stack
		Deploy []string `json:"deploy,omitempty"`
		Delete []string `json:"delete,omitempty"`
	}
	type wave struct {
		Number int     `json:"number"`
		Stacks []stack `json:"stacks"`
	}
	out := struct {
		*Plan
		Waves []wave `json:"waves"`
	}{Plan: p}
	for _, w := range p.Waves {
		one := wave{Number: w.Number}
		for _, s := range w.Stacks {
			one.Stacks = append(one.Stacks, stack{s, p.DeployCommands(s), p.DeleteCommands(s)})
		}
		out.Waves = append(out.Waves, one)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("writing plan.json: %w", err)
	}
	return b.Bytes(), nil
}
