package wire_test

import (
	"encoding/xml"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type tag struct{ Key, Value string }

type nested struct {
	Name string
	List []string
}

type input struct {
	RoleName string
	Duration *int   `wire:"DurationSeconds"`
	Skip     string `wire:"-"`
	Flag     bool
	OptFlag  *bool
	When     time.Time
	Tags     []tag
	Keys     []string
	Inner    nested
	Pointer  *nested
	Extra    map[string]string
}

func pointer[T any](v T) *T { return &v }

func TestDecodeQuery(t *testing.T) {
	tests := []struct {
		name, query string
		want        input
	}{
		{"nothing", "Action=CreateRole&Version=1", input{}},
		{"scalars", "RoleName=a+b&DurationSeconds=900&Flag=true&OptFlag=false&When=2026-01-02T03:04:05Z", input{
			RoleName: "a b", Duration: pointer(900), Flag: true, OptFlag: pointer(false),
			When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}},
		{"ignored field", "Skip=x&-=y", input{}},
		{"list of structures", "Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=b", input{Tags: []tag{{"a", "1"}, {"b", ""}}}},
		{"list order is by number", "Keys.member.10=c&Keys.member.9=b&Keys.member.1=a", input{Keys: []string{"a", "b", "c"}}},
		{"gaps cost nothing", "Keys.member.999999999=x", input{Keys: []string{"x"}}},
		{"empty list", "Keys=", input{Keys: []string{}}},
		{"structures", "Inner.Name=n&Inner.List.member.1=x&Pointer.Name=p", input{
			Inner: nested{"n", []string{"x"}}, Pointer: &nested{Name: "p"},
		}},
		{"map", "Extra.entry.1.key=a&Extra.entry.1.value=1&Extra.entry.2.key=b", input{Extra: map[string]string{"a": "1", "b": ""}}},
		{"unknown parameters", "Nonsense.member.x=1&Inner.Nonsense=2", input{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			form, err := url.ParseQuery(test.query)
			if err != nil {
				t.Fatal(err)
			}
			var got input
			if err := wire.DecodeQuery(form, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeQueryRefuses(t *testing.T) {
	tests := []struct{ query, problem string }{
		{"RoleName=a&RoleName=b", "RoleName is given more than once"},
		{"RoleName.member.1=a", "RoleName must be a single value"},
		{"DurationSeconds=ten", "DurationSeconds must be a whole number"},
		{"DurationSeconds=", "DurationSeconds must be a whole number"},
		{"DurationSeconds=99999999999999999999", "DurationSeconds must be a whole number"},
		{"Flag=1", "Flag must be true or false"},
		{"When=yesterday", "When must be a time"},
		{"Keys=a", "Keys must be a list"},
		{"Keys.member.0=a", "Keys.member.0 must end in a positive number"},
		{"Keys.member.01=a", "Keys.member.01 must end in a positive number"},
		{"Keys.member.x=a", "Keys.member.x must end in a positive number"},
		{"Tags.member.1=a", "Tags.member.1 must be a structure"},
		{"Inner=a", "Inner must be a structure"},
		{"Extra=a", "Extra must be a map"},
		{"Extra.entry.1.value=a", "Extra.entry.1 has no key"},
		{"Extra.entry.1.key=a&Extra.entry.2.key=a", "repeats a key"},
	}
	for _, test := range tests {
		form, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		err = wire.DecodeQuery(form, &input{})
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != "MalformedInput" || e.Status != 400 || !strings.Contains(e.Message, test.problem) {
			t.Errorf("%s: got %v, want MalformedInput with %q", test.query, err, test.problem)
		}
	}
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add("RoleName=a&Tags.member.1.Key=b&Extra.entry.1.key=c")
	f.Add("Keys=&Keys.member.1=&Pointer.List.member.1.x=1&..=&.=")
	f.Add("When=2026-01-02T03:04:05Z&Flag=true&Inner..Name=1")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		var in input
		if err := wire.DecodeQuery(form, &in); err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Status != 400 {
				t.Fatalf("DecodeQuery(%q) = %v, want a refusal", query, err)
			}
		}
	})
}

type output struct {
	Arn     string
	Empty   string
	Left    string `wire:",omitempty"`
	Number  *int
	Missing *int
	When    time.Time
	Tags    []tag
	None    []string
	Map     map[string]string
	Inner   *nested
}

func TestWriteQuery(t *testing.T) {
	w := httptest.NewRecorder()
	wire.WriteQuery(w, "GetRole", wire.NamespaceIAM, "id-1", &output{
		Arn:    "a<b>&\"c\"",
		Number: pointer(7),
		When:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
		Tags:   []tag{{"k", "v"}},
		Map:    map[string]string{"b": "2", "a": "1"},
		Inner:  &nested{Name: "n", List: []string{"x", "y"}},
	})
	want := `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<GetRoleResult><Arn>a&lt;b&gt;&amp;&#34;c&#34;</Arn><Empty></Empty><Number>7</Number><When>2026-01-02T02:04:05Z</When>` +
		`<Tags><member><Key>k</Key><Value>v</Value></member></Tags><None></None>` +
		`<Map><entry><key>a</key><value>1</value></entry><entry><key>b</key><value>2</value></entry></Map>` +
		`<Inner><Name>n</Name><List><member>x</member><member>y</member></List></Inner></GetRoleResult>
<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>
</GetRoleResponse>
`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := w.Header().Get("X-Amzn-Requestid"); got != "id-1" {
		t.Errorf("request id header is %q", got)
	}
}

func TestWriteQueryWithoutResult(t *testing.T) {
	for name, out := range map[string]any{"nil": nil, "nil pointer": (*output)(nil)} {
		w := httptest.NewRecorder()
		wire.WriteQuery(w, "DeleteRole", wire.NamespaceIAM, "id-1", out)
		if body := w.Body.String(); strings.Contains(body, "Result") || !strings.Contains(body, "<RequestId>id-1</RequestId>") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestWriteQueryError(t *testing.T) {
	w := httptest.NewRecorder()
	wire.WriteQueryError(w, wire.NamespaceSTS, "id-1", &wire.Error{
		Status: 403, Code: "AccessDenied", Message: "<no>", Fields: []wire.Field{{"Extra", "x"}},
	})
	want := `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>&lt;no&gt;</Message><Extra>x</Extra></Error>
<RequestId>id-1</RequestId>
</ErrorResponse>
`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" || w.Code != 403 {
		t.Errorf("status %d (-want +got)\n%s", w.Code, diff)
	}
}

func TestAsErrorHidesTheCause(t *testing.T) {
	e := wire.AsError(errors.New("secret detail"))
	if e.Status != 500 || e.Code != "InternalFailure" || strings.Contains(e.Error(), "secret") || e.Cause == nil {
		t.Errorf("got %+v", e)
	}
}

// Whatever text goes into an answer, it is well-formed and comes out again.
func TestWriteQueryIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		w := httptest.NewRecorder()
		wire.WriteQuery(w, "X", "n", "id", &struct{ Text string }{text})
		var got struct {
			Text string `xml:"XResult>Text"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if clean := strings.Map(xmlText, text); got.Text != clean {
			t.Fatalf("wrote %q, read %q", clean, got.Text)
		}
	})
}

// xmlText is what becomes of a character that XML cannot hold.
func xmlText(r rune) rune {
	switch {
	case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
		return r
	}
	return 0xFFFD
}
