package crossaccount

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSlug(t *testing.T) {
	const limit = 24
	tests := map[string]string{
		"Acme":                        "Acme",
		"Acme Analytics":              "Acme-Analytics",
		"  Acme -- (Analytics), Inc.": "Acme-Analytics-Inc",
		"a/b/../c":                    "a-b-c",
		"${AWS::Region}'; rm -rf /":   "AWS-Region-rm-rf",
		"Café":                        "Caf-73473dcc",
		"データ":                         "x-",
		"":                            "x-e3b0c442",
		"---":                         "x-",
		"🙂 smile":                     "smile-",
		strings.Repeat("a", 24):       strings.Repeat("a", 24),
		strings.Repeat("a", 25):       strings.Repeat("a", 15) + "-",
		strings.Repeat("a", 10_000):   strings.Repeat("a", 15) + "-",
		strings.Repeat("a-", 10_000):  "a-a-a-a-a-a-a-a-",
		strings.Repeat("🙂", 10_000):   "x-",
	}
	for text, want := range tests {
		got := slug(text, limit)
		if got != want && !(strings.HasSuffix(want, "-") && regexp.MustCompile("^"+want+"[0-9a-f]{8}$").MatchString(got)) {
			t.Errorf("slug(%.40q) = %q, want %q", text, got, want)
		}
	}
}

func TestSlugKeepsWithinEveryQuota(t *testing.T) {
	legal := regexp.MustCompile(`^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		limit := rapid.IntRange(12, 64).Draw(t, "limit")
		got := slug(text, limit)
		if !legal.MatchString(got) || len(got) > limit {
			t.Fatalf("slug(%q, %d) = %q", text, limit, got)
		}
		if again := slug(text, limit); again != got {
			t.Fatalf("slug(%q) is %q, then %q", text, got, again)
		}
		// What is cut off still counts.
		long := text + strings.Repeat("x", limit)
		if slug(long+"1", limit) == slug(long+"2", limit) {
			t.Fatalf("two long texts give the name %q", slug(long+"1", limit))
		}
	})
}
