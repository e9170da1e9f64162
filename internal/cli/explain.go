package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/grant"
)

func newExplain(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain [KIND]",
		Short: "Explain a kind of resource: what access means, limits, what to know",
		Long: `Explain a kind of resource of access manifests: the words that access may have
and the exact actions each of them means, how a grant can be narrowed, how the
policy is written, what speaks for and against each way to give access, its
limits, and what people must know before they share one.

Without a kind, list the kinds. What is printed comes from the tables that
"crossaccount compile" uses.`,
		Example: `  crossaccount explain
  crossaccount explain kinesis-stream
  crossaccount explain secret --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(grant.Kinds(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listKinds(streams.Out, asJSON)
			}
			d, ok := grant.Describe(args[0])
			if !ok {
				return &exitError{ExitUsage, fmt.Errorf("there is no kind %q; there are: %s", args[0], strings.Join(grant.Kinds(), ", "))}
			}
			if asJSON {
				return printJSON(streams.Out, d)
			}
			explainKind(streams.Out, d)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func listKinds(w io.Writer, asJSON bool) error {
	var all []grant.KindDescription
	for _, name := range grant.Kinds() {
		d, _ := grant.Describe(name)
		all = append(all, d)
	}
	if asJSON {
		return printJSON(w, all)
	}
	for _, d := range all {
		var words []string
		for _, a := range d.Access {
			words = append(words, a.Word)
		}
		fmt.Fprintf(w, "%-18s %s: %s\n", d.Kind, d.Title, strings.Join(words, ", "))
	}
	return nil
}

func explainKind(w io.Writer, d grant.KindDescription) {
	fmt.Fprintf(w, "%s: %s\n%s\n\nAccess\n", d.Kind, d.Title, d.Page)
	for _, a := range d.Access {
		fmt.Fprintf(w, "  %s: %s\n    actions: %s\n", a.Word, a.Meaning, strings.Join(a.Actions, ", "))
		if len(a.Consumer) > 0 {
			fmt.Fprintf(w, "    on the consumer's side only: %s\n", strings.Join(a.Consumer, ", "))
		}
		if len(a.Key) > 0 {
			fmt.Fprintf(w, "    on the key, if it is encrypted with one: %s\n", strings.Join(a.Key, ", "))
		}
	}
	fmt.Fprintf(w, "\nPolicy\n  %s\n", d.Policy)
	if len(d.Narrowing) > 0 {
		fmt.Fprintf(w, "\nNarrowed by\n  only: %s\n", strings.Join(d.Narrowing, ", "))
	}
	if d.Encryption != "" {
		fmt.Fprintf(w, "\nEncryption, if the manifest does not say\n  %s\n", d.Encryption)
	}
	section := func(title string, list []string) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\n", title)
		for _, s := range list {
			fmt.Fprintf(w, "  - %s\n", s)
		}
	}
	fmt.Fprintf(w, "\nWays (via)\n")
	for _, way := range d.Ways {
		fmt.Fprintf(w, "  %s\n", way.Via)
		for _, s := range way.For {
			fmt.Fprintf(w, "    + %s\n", s)
		}
		for _, s := range way.Against {
			fmt.Fprintf(w, "    - %s\n", s)
		}
	}
	section("Limits", d.Limits)
	section("Know", d.Caveats)
}
