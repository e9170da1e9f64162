package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func newWhatCan(streams Streams) *cobra.Command {
	q := &question{streams: streams}
	var action, resource string
	c := &cobra.Command{
		Use:   "what-can PRINCIPAL",
		Short: "What may this principal do",
		Long: `List what a principal may do: on the resources of the world, in any account, and
on the patterns of the statements that grant it something. Actions are those of
the service authorization reference; s3:Get* stands for all that begin so.
` + contextHelp + `

The exit code is 0 if it may do something, 1 if nothing, and 3 if everything
depends.`,
		Example: `  crossaccount what-can arn:aws:iam::111122223333:role/reader
  crossaccount what-can arn:aws:iam::111122223333:role/ci --action 'iam:*'
  crossaccount what-can anonymous --closed`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: q.complete(argPrincipal),
	}
	q.flags(c)
	c.Flags().StringVar(&action, "action", "", "only actions that match this `pattern`")
	c.Flags().StringVar(&resource, "resource", "", "only resources that match this `pattern`")
	c.RunE = func(_ *cobra.Command, args []string) error {
		asked, err := q.ask(args[0], action, resource)
		if err != nil {
			return err
		}
		w, err := q.open()
		if err != nil {
			return err
		}
		capabilities, err := w.WhatCan(asked)
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		return q.whatCan(capabilities)
	}
	return c
}

// A jsonGrant is a grant as --json prints it.
type jsonGrant struct {
	Resource     string              `json:"resource"`
	Known        bool                `json:"known"`
	Actions      []string            `json:"actions"`
	Verdict      eval.Verdict        `json:"verdict"`
	Requirements []world.Requirement `json:"requirements,omitempty"`
}

func (q *question) whatCan(c *world.Capabilities) error {
	grants := []jsonGrant{}
	sure := false
	for i := range c.Grants {
		g := &c.Grants[i]
		j := jsonGrant{Resource: g.Resource, Known: g.Known, Actions: g.Actions, Verdict: g.Verdict}
		if g.Verdict == eval.Depends {
			j.Requirements = g.Answer().Requirements()
		}
		sure = sure || g.Verdict == eval.Allowed
		grants = append(grants, j)
	}
	if q.asJSON {
		if err := printJSON(q.streams.Out, struct {
			Principal   string      `json:"principal"`
			Grants      []jsonGrant `json:"grants"`
			Assumptions []string    `json:"assumptions,omitempty"`
			Notes       []string    `json:"notes,omitempty"`
		}{c.Principal, grants, c.Assumptions, c.Notes}); err != nil {
			return &exitError{ExitInternal, err}
		}
	} else {
		q.printGrants(c, grants)
	}
	switch {
	case sure:
		return nil
	case len(grants) > 0:
		return &exitError{code: ExitUndetermined}
	}
	return &exitError{code: ExitNo}
}

func (q *question) printGrants(c *world.Capabilities, grants []jsonGrant) {
	w := q.streams.Out
	if len(grants) == 0 {
		fmt.Fprintf(w, "%s may do nothing in this world\n", c.Principal)
	} else {
		fmt.Fprintf(w, "%s may\n", c.Principal)
	}
	var last string
	for _, g := range grants {
		if g.Resource != last {
			fmt.Fprintf(w, "\non %s\n", g.Resource)
			last = g.Resource
		}
		if g.Verdict == eval.Allowed {
			fmt.Fprintf(w, "  %s\n", strings.Join(g.Actions, ", "))
			continue
		}
		fmt.Fprintf(w, "  %s, depending:\n", strings.Join(g.Actions, ", "))
		var said []string
		for _, r := range g.Requirements {
			if s := r.String(); !slices.Contains(said, s) {
				said = append(said, s)
				fmt.Fprintf(w, "      %s\n", s)
			}
		}
	}
	for _, note := range c.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	for _, assumption := range c.Assumptions {
		fmt.Fprintf(w, "assumed: %s\n", assumption)
	}
}
