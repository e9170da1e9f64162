package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/server"
)

// manifestFile is the manifest that commands read unless they are given another.
const manifestFile = "crossaccount.yaml"

func newCompile(streams Streams) *cobra.Command {
	var format, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "compile [FILE]",
		Short: "Compile an access manifest into the policies of all accounts",
		Long: `Compile crossaccount.yaml, or another manifest, into the policies of every
account, on both sides of every grant, in an order that can be deployed.

The output folder gets a folder for each account with its stacks, PLAN.md with
the waves and commands for people, plan.json with the same for programs, and
deploy.sh and remove.sh, which run them. Nothing is deployed and no AWS account
is needed. The same manifest gives the same files.

Every problem of the manifest is named with line, column, rule and remedy, and
then nothing is written. Stacks of the last plan that are no longer needed are
named with the commands that delete them.

Formats: cloudformation, terraform (JSON) or policies (plain documents).`,
		Example: `  crossaccount init
  crossaccount compile
  crossaccount compile access.yaml --format terraform --out infrastructure/access
  crossaccount compile --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			plan, err := compileManifest(streams, manifestArgument(args), grant.Format(format))
			if err != nil {
				return err
			}
			if asJSON {
				data, err := plan.JSON()
				if err != nil {
					return &exitError{ExitInternal, err}
				}
				_, err = streams.Out.Write(data)
				return err
			}
			files, err := plan.Files()
			if err != nil {
				return &exitError{ExitUsage, err}
			}
			obsolete := obsoleteStacks(filepath.Join(out, "plan.json"), plan)
			if err := writeFiles(out, files); err != nil {
				return &exitError{ExitUsage, err}
			}
			for _, w := range plan.Warnings {
				fmt.Fprintf(streams.Err, "warning: %s:%s\n", manifestArgument(args), w)
			}
			for _, s := range obsolete {
				fmt.Fprintf(streams.Err, "warning: the stack %s of the last plan is no longer needed; if it was deployed, remove it after deploying this plan:\n  %s\n", s.Name, strings.Join(s.Delete, "\n  "))
			}
			fmt.Fprintf(streams.Out, "%s; next: read %s\n", planCounts(plan), filepath.Join(out, "PLAN.md"))
			return nil
		},
	}
	var formats []string
	for _, f := range grant.Formats() {
		formats = append(formats, string(f))
	}
	c.Flags().StringVar(&format, "format", formats[0], strings.Join(formats, ", "))
	c.Flags().StringVar(&out, "out", "crossaccount.out", "`folder` to write to")
	c.Flags().BoolVar(&asJSON, "json", false, "print plan.json instead of writing files")
	fixedValues(c, "format", formats...)
	return c
}

// planCounts says how much there is in a plan.
func planCounts(plan *grant.Plan) string {
	names := map[string]bool{}
	for _, g := range plan.Grants {
		names[g.Grant] = true
	}
	over := ""
	if len(plan.Grants) != len(names) {
		over = fmt.Sprintf(" (%d over their stages)", len(plan.Grants))
	}
	return fmt.Sprintf("%s%s, %s in %s", count(len(names), "grant"), over, count(len(plan.Stacks()), "stack"), count(len(plan.Waves), "wave"))
}

func manifestArgument(args []string) string {
	if len(args) == 0 {
		return manifestFile
	}
	return args[0]
}

// readManifest reads and checks a manifest; - is standard input.
func readManifest(streams Streams, name string) (*grant.Manifest, error) {
	in := streams.In
	if name != "-" {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, &exitError{ExitUsage, fmt.Errorf(`%s: there is no such file; "crossaccount init" writes one to begin with`, name)}
		}
		if err != nil {
			return nil, &exitError{ExitUsage, err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	m, err := grant.Parse(data)
	if err != nil && isPlan(data) {
		err = errors.New("this is a plan, which has the policies but not what was declared; give the manifest that it was compiled from")
	}
	if err != nil {
		return nil, &exitError{ExitUsage, inFile(name, err)}
	}
	return m, nil
}

// isPlan reports whether a file is a plan.json.
func isPlan(data []byte) bool {
	var plan struct {
		Format grant.Format      `json:"format"`
		Waves  []json.RawMessage `json:"waves"`
	}
	return json.Unmarshal(data, &plan) == nil && plan.Format != "" && plan.Waves != nil
}

// maxManifest is one byte more than package grant reads, so that it says so.
const maxManifest = 16 << 20

// shownProblems is how many problems of a file are shown at once.
const shownProblems = 100

// inFile puts the file's name before every problem.
func inFile(name string, err error) error {
	var e *grant.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", name, err)
	}
	var lines []string
	for _, p := range e.Problems {
		if len(lines) == shownProblems {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(e.Problems)-shownProblems))
			break
		}
		lines = append(lines, name+":"+p.String())
	}
	return errors.New(strings.Join(lines, "\n"))
}

// compileManifest reads a manifest and compiles it.
func compileManifest(streams Streams, name string, format grant.Format) (*grant.Plan, error) {
	m, err := readManifest(streams, name)
	if err != nil {
		return nil, err
	}
	plan, err := grant.Compile(m, grant.Options{Format: format, Generator: "crossaccount " + server.Version()})
	if err != nil {
		return nil, &exitError{ExitUsage, inFile(name, err)}
	}
	return plan, nil
}

// writeFiles writes each file under a temporary name first, so that none is ever
// half-written.
func writeFiles(dir string, files []grant.File) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		temporary := path + ".new"
		err := os.WriteFile(temporary, f.Data, mode)
		if err == nil {
			err = os.Rename(temporary, path)
		}
		if err != nil {
			_ = os.Remove(temporary) // the first error counts
			return err
		}
	}
	return nil
}

type formerStack struct {
	Name      string   `json:"name"`
	AccountID string   `json:"account_id"`
	Region    string   `json:"region"`
	Delete    []string `json:"delete"`
}

// obsoleteStacks returns the stacks of the plan that was written before which
// the new one does not have.
func obsoleteStacks(file string, plan *grant.Plan) []formerStack {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil // there was none
	}
	var former struct {
		Format grant.Format `json:"format"`
		Waves  []struct {
			Stacks []formerStack `json:"stacks"`
		} `json:"waves"`
	}
	if json.Unmarshal(data, &former) != nil || former.Format != plan.Format {
		return nil
	}
	still := map[string]bool{}
	for _, s := range plan.Stacks() {
		still[s.AccountID+s.Region+s.Name] = true
	}
	var gone []formerStack
	for i := len(former.Waves) - 1; i >= 0; i-- {
		for _, s := range former.Waves[i].Stacks {
			if !still[s.AccountID+s.Region+s.Name] {
				gone = append(gone, s)
			}
		}
	}
	return gone
}
