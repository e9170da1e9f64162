package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

func newSimulate(streams Streams) *cobra.Command {
	s := &simulation{streams: streams}
	c := &cobra.Command{
		Use:   "simulate -f CASES.json",
		Short: "Decide requests from self-contained cases",
		Long: `Decide what AWS would answer to requests. A case holds a request and every
policy that bears on it; a file holds one case or an array of cases:

  {
    "name": "a role reads an object of another account",
    "request": {
      "principal": "arn:aws:iam::111122223333:role/reader",
      "action": "s3:GetObject",
      "resource": {"resource": "arn:aws:s3:::data/a.txt", "accountId": "444455556666"},
      "context": {"aws:PrincipalTag/team": "blue"}
    },
    "identityPolicies": [{"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}],
    "resourcePolicy": {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"AWS": "111122223333"},
       "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}]},
    "expected": {"response": "Allowed"}
  }

Further layers are permissionBoundaries, sessionPolicy, endpointPolicies, and
serviceControlPolicies and resourceControlPolicies as lists of
{"orgIdentifier", "policies"}, the organisation's root first. A principal may
also be a service ("s3.amazonaws.com") or {"type": "Anonymous"}. A policy may
also be {"name", "policy"}.

Nothing is derived: a context key that is not given is absent, also
aws:PrincipalArn. For questions about accounts you describe once, see
"crossaccount can".

Cases that say what they expect are compared with it; mismatches are listed and
make the exit code 1. A malformed case makes it 2; the other cases are decided
all the same.`,
		Example: `  crossaccount simulate -f cases.json
  crossaccount simulate -f cases.json --explain
  jq '.cases' report.json | crossaccount simulate -f - --json`,
		Args: cobra.ArbitraryArgs,
	}
	var files []string
	c.Flags().StringArrayVarP(&files, "file", "f", nil, "`file` with one case or an array of cases; - for standard input")
	c.Flags().BoolVar(&s.asJSON, "json", false, "print an array of {name, response, decidedBy, statements, expected} in the order of the cases")
	c.Flags().BoolVar(&s.explain, "explain", false, "say of every case what each layer and statement said, and what to change")
	c.RunE = func(_ *cobra.Command, more []string) error {
		files = append(files, more...) // what a shell makes of -f *.json
		if len(files) == 0 {
			return errors.New("name a file with cases: crossaccount simulate -f CASES.json (- for standard input)")
		}
		for _, name := range files {
			if err := s.file(name); err != nil {
				return &exitError{ExitUsage, err}
			}
		}
		return s.finish()
	}
	return c
}

// maxProblems is how many malformed cases are described one by one.
const maxProblems = 20

// A simulation runs cases and keeps score. Cases are read and decided one at a
// time, so that only results are held.
type simulation struct {
	streams         Streams
	asJSON, explain bool

	results    bytes.Buffer // of --json, written when all cases could be read
	run        int
	expected   int
	mismatches int
	malformed  int
}

// An answer is one element of the output: a result, or why there is none.
type answer struct {
	*cases.Result
	Explanation *eval.Explanation `json:"explanation,omitempty"`
}

// A failure stands in the output for a malformed case, so that the n-th element
// is always about the n-th case.
type failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
	Line  int    `json:"line"`
}

func (s *simulation) file(name string) error {
	in, shown := s.streams.In, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in, shown = f, name
	}
	reader := newCaseReader(in)
	for {
		c, err := reader.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var wrong *caseError
		if errors.As(err, &wrong) {
			if err := s.refuse(shown, wrong); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", shown, err)
		}
		if err := s.decide(c); err != nil {
			return fmt.Errorf("%s: %w", shown, err)
		}
	}
}

// refuse reports a malformed case.
func (s *simulation) refuse(file string, wrong *caseError) error {
	s.run++
	s.malformed++
	switch {
	case s.malformed <= maxProblems:
		fmt.Fprintf(s.streams.Err, "%s:%d: %v\n", file, wrong.Line, wrong)
	case s.malformed == maxProblems+1:
		fmt.Fprintln(s.streams.Err, "further malformed cases are counted, not shown")
	}
	if s.asJSON {
		return s.element(failure{Name: wrong.Name, Error: wrong.Error(), Line: wrong.Line})
	}
	return nil
}

func (s *simulation) decide(c *readCase) error {
	result := c.result
	s.run++
	if result.Expected != "" {
		s.expected++
	}
	if !result.OK() {
		s.mismatches++
	}
	out := answer{Result: result}
	if s.explain {
		in, err := c.Input()
		if err != nil {
			return err
		}
		out.Explanation = eval.Explain(in)
	}
	if s.asJSON {
		return s.element(out)
	}
	name := result.Name
	if name == "" {
		name = fmt.Sprintf("case %d", s.run-1)
	}
	var err error
	switch {
	case !result.OK():
		_, err = fmt.Fprintf(s.streams.Out, "FAIL  %s: %s by %s, expected %s\n", name, result.Response, result.DecidedBy, result.Expected)
	case result.Expected == "" || s.explain:
		_, err = fmt.Fprintf(s.streams.Out, "%s: %s by %s\n", name, result.Response, result.DecidedBy)
	}
	if err == nil && s.explain {
		_, err = fmt.Fprintf(s.streams.Out, "%s\n", out.Explanation)
	}
	return err
}

// element adds to the array of --json.
func (s *simulation) element(value any) error {
	if s.results.Len() > 0 {
		s.results.WriteString(",\n")
	}
	encoder := json.NewEncoder(&s.results)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	s.results.Truncate(s.results.Len() - 1) // Encode's newline
	return nil
}

func (s *simulation) finish() error {
	if s.asJSON {
		if _, err := fmt.Fprintf(s.streams.Out, "[%s]\n", s.results.Bytes()); err != nil {
			return &exitError{ExitInternal, err}
		}
	} else if s.expected > 0 {
		fmt.Fprintf(s.streams.Out, "%d cases, %d as expected, %d not\n", s.run, s.expected-s.mismatches, s.mismatches)
	}
	switch {
	case s.malformed > 0:
		return &exitError{ExitUsage, fmt.Errorf("%d of %d cases are malformed", s.malformed, s.run)}
	case s.mismatches > 0:
		return &exitError{ExitNo, fmt.Errorf("%d of %d cases are not decided as expected", s.mismatches, s.expected)}
	}
	return nil
}
