package grant_test

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// Whatever a manifest says is one literal in each language, and comes out of it
// as it went in; in comments and configuration it stays on its line.
func TestQuoting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ToValidUTF8(rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile)).Draw(t, "text"), "\ufffd")
		var back string
		if err := json.Unmarshal([]byte(grant.Quoters["json"](s)), &back); err != nil || back != s {
			t.Fatalf("%q became %q: %v", s, back, err)
		}
		if back, err := strconv.Unquote(grant.Quoters["go"](s)); err != nil || back != s {
			t.Fatalf("%q became %q: %v", s, back, err)
		}
		for _, where := range []string{"json", "go", "comment", "config"} {
			if strings.ContainsAny(grant.Quoters[where](s), "\n\r\v\f\u0085\u2028\u2029\x00") {
				t.Fatalf("%s: %q is more than a line", where, grant.Quoters[where](s))
			}
		}
		if strings.ContainsAny(grant.Quoters["config"](s), " \t[]") {
			t.Fatalf("%q could be more than one value", s)
		}
	})
}

var hostile = []string{
	"", `"`, `'`, `\`, `\"`, "`", "${process.exit(1)}", "#{x}", "{{.}}", "*/", "//", "\n", "\r\n", "\u2028", "\u2029", "\u0085", "\x00", "\x7f",
	`"); process.exit(1); ("`, `""" + 1 + """`, "%s", "</script>", "\\u0022", "\\N{DIGIT ONE}", "é", "日本", "👩‍👩‍👧", "\ufeff", "\u202e", "a]\nrole_arn = x",
}

// The languages themselves read the literals as they were meant.
func TestLiteralsAreReadByTheirLanguages(t *testing.T) {
	literals := make([]string, len(hostile))
	for i, s := range hostile {
		literals[i] = grant.Quoters["json"](s)
	}
	list := "[" + strings.Join(literals, ", ") + "]"
	for _, c := range [][]string{
		{testenv.Tool(t, "node"), "-e", "process.stdout.write(JSON.stringify(" + list + "))"},
		{testenv.Python(t), "-c", "import json\nprint(json.dumps(" + list + "))"},
	} {
		out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).Output()
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		var got []string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Errorf("%s: %v", c[0], err)
		}
		if diff := cmp.Diff(hostile, got); diff != "" {
			t.Errorf("%s: %s", c[0], diff)
		}
	}
}
