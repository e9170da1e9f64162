package crossaccount_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What README shows is what the example runs, line by line, and its files
// exist.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("README shows no Go code")
	}
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); !strings.Contains(string(example), line) {
				t.Errorf("README shows %q, which example_test.go does not have", line)
			}
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(string(readme), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("README links to %s: %v", link[1], err)
		}
	}
	for _, command := range []string{"go run ./cmd/crossaccount demo", "make test"} {
		if !strings.Contains(string(readme), "\n    "+command+"\n") {
			t.Errorf("README does not have the command %q", command)
		}
	}
}
