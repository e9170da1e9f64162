package api_test

import (
	"os/exec"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

// schemathesis generates requests from the OpenAPI document, legal ones and
// illegal ones, and finds no fault of the server and no answer that the document
// does not describe.
func TestSchemathesis(t *testing.T) {
	tool := testenv.Tool(t, "schemathesis")
	w := newWorld(t)
	started := w.start(w.operator, "one")
	w.launch(oneID, started.LaunchURL)
	// The checks that are left out misread rules that depend on the caller: a
	// customer must be named by some and must not by others.
	c := exec.CommandContext(t.Context(), tool, "run", w.url+"/openapi.json",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth,missing_required_header",
		"--header", "Authorization: Bearer "+operatorToken, "--header", "Crossaccount-Customer: one",
		"--max-examples", "25", "--seed", "1", "--continue-on-failure", "--no-color", "--suppress-health-check", "all")
	c.Dir = t.TempDir() // it keeps what it found out
	if output, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
