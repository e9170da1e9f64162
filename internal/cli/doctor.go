package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/internal/server"
)

func newDoctor(streams Streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what the server lacks",
		Long: `Look at everything a server needs, without changing anything: configuration,
keys, database, the identities in AWS, the canary role and the template bucket.
Every line says what was found, and what to do about it.

The exit code is 0 if everything works, 1 if something does not, and 3 if
something could not be found out. Warnings do not count.`,
		Example: `  crossaccount doctor --config /etc/crossaccount/server.yaml`,
		Args:    cobra.NoArgs,
	}
	read := configFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the checks as JSON")
	completeConfig(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		progress := startProgress(streams.Err)
		defer progress.stop()
		progress.say("looking at everything a server needs")
		checks := server.Doctor(c.Context(), config, func(check server.Check) {
			if !asJSON {
				printCheck(streams, check)
			}
		})
		if asJSON {
			if err := printJSON(streams.Out, checks); err != nil {
				return err
			}
		}
		return outcomeOf(checks)
	}
	return c
}

func printCheck(streams Streams, check server.Check) {
	marks := map[string]string{server.CheckOK: "ok  ", server.CheckWarning: "warn", server.CheckFailed: "FAIL", server.CheckUnknown: "?   "}
	fmt.Fprintf(streams.Out, "%s  %s: %s\n", marks[check.Outcome], check.Name, check.Detail)
	if check.Remedy != "" {
		fmt.Fprintf(streams.Out, "      %s\n", strings.ToUpper(check.Remedy[:1])+check.Remedy[1:]+".")
	}
}

// outcomeOf is the exit code of a diagnosis.
func outcomeOf(checks []server.Check) error {
	failed, unknown := 0, 0
	for _, check := range checks {
		switch check.Outcome {
		case server.CheckFailed:
			failed++
		case server.CheckUnknown:
			unknown++
		}
	}
	switch {
	case failed > 0:
		return &exitError{ExitNo, fmt.Errorf("%d of %d checks failed", failed, len(checks))}
	case unknown > 0:
		return &exitError{ExitUndetermined, fmt.Errorf("%d of %d checks could not be made", unknown, len(checks))}
	}
	return nil
}
