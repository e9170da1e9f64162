package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// Format is the version of the fixture format.
const Format = 1

// Fixtures are recorded answers of AWS. The account ids in them are stand-ins.
type Fixtures struct {
	Format   int       `json:"format"`
	Recorded time.Time `json:"recorded"`
	Region   string    `json:"region"`
	Endpoint string    `json:"endpoint"` // "AWS", or where else the answers came from
	Tool     string    `json:"tool"`     // the version of crossaccount

	Verdicts    []Verdict `json:"verdicts"`
	NotRecorded []Skipped `json:"notRecorded"`
}

// A Verdict is AWS's answer to one case.
type Verdict struct {
	Name string `json:"name"`

	// Case is what was really done: the policies as they were attached, the
	// principal and the resource as they were called, and of the request's
	// context the keys its policies look at. Its expectation is the original
	// case's.
	Case cases.Case `json:"case"`

	// Response is "Allowed", "ImplicitlyDenied" or "ExplicitlyDenied", or
	// "Denied" if AWS did not say which.
	Response string    `json:"response"`
	Message  string    `json:"message,omitempty"` // AWS's own, if it refused
	At       time.Time `json:"at"`
	Asked    int       `json:"asked"` // how often, until the answer was stable
}

// A Skipped case has no verdict.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// ReadFixtures reads what [Fixtures.Write] wrote.
func ReadFixtures(r io.Reader) (*Fixtures, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	f := &Fixtures{}
	if err := decoder.Decode(f); err != nil {
		return nil, fmt.Errorf("read fixtures: %w", err)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("the fixtures have format %d; this version reads format %d", f.Format, Format)
	}
	for i, v := range f.Verdicts {
		switch v.Response {
		case "Allowed", "Denied", "ImplicitlyDenied", "ExplicitlyDenied":
		default:
			return nil, fmt.Errorf("verdicts[%d].response: %q is none of Allowed, Denied, ImplicitlyDenied, ExplicitlyDenied", i, v.Response)
		}
	}
	return f, nil
}

// Write writes the fixtures as JSON.
func (f *Fixtures) Write(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(f)
}

// A Comparison is a recorded verdict beside the engine's.
type Comparison struct {
	Name     string `json:"name"`
	Recorded string `json:"recorded"`
	Engine   string `json:"engine"`
	Equal    bool   `json:"equal"`
	Message  string `json:"message,omitempty"`
}

// Check lets the engine decide every recorded case.
func (f *Fixtures) Check() ([]Comparison, error) {
	comparisons := []Comparison{}
	for _, v := range f.Verdicts {
		result, err := v.Case.Run()
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, Comparison{
			Name: v.Name, Recorded: v.Response, Engine: string(result.Response), Message: v.Message,
			Equal: agrees(v.Response, string(result.Response)),
		})
	}
	return comparisons, nil
}

// agrees reports whether what AWS said is what the engine says. "Denied" is
// either denial.
func agrees(recorded, engine string) bool {
	return recorded == engine || recorded == "Denied" && (engine == "ImplicitlyDenied" || engine == "ExplicitlyDenied")
}
