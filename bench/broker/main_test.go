package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

// Children of the measures are this program, too.
func TestMain(m *testing.M) {
	clearEnvironment()
	if child, err := beChild(); child {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func labOf(t *testing.T) *lab {
	return &lab{quick: true, child: runChild, bubble: func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }}
}

// The broker keeps the goals that are counts: calls, waits, failures,
// allocations, memory. Times are the business of the command.
func TestGoals(t *testing.T) {
	for _, m := range measures {
		t.Run(strings.Join([]string{m.number, m.what}, " "), func(t *testing.T) {
			if testing.Short() && (m.number == "8" || m.number == "14" || m.number == "16") {
				t.Skip("starts processes")
			}
			r, err := m.run(labOf(t), ours)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r.text)
			if !r.sound {
				t.Errorf("%s; the goal is %s", r.text, m.goal)
			}
		})
	}
}

// What the broker was made for happens to the others, so the measures can tell.
func TestMeasuresCanTell(t *testing.T) {
	for _, c := range []struct {
		number string
		way    way
	}{
		{"1", cached}, {"1", windowed}, {"6", cached}, {"7", cached}, {"9", cached}, {"9", library},
		{"10", windowed}, {"11", cached}, {"12", library}, {"13", cached},
	} {
		for _, m := range measures {
			if m.number != c.number {
				continue
			}
			r, err := m.run(labOf(t), c.way)
			if err != nil {
				t.Fatal(err)
			}
			if r.met {
				t.Errorf("%s: %s is as good as the broker: %s", m.what, c.way.name, r.text)
			}
		}
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if _, err := labOf(t).table(&out, "13"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), ours.name+" "); got != 2 || strings.Contains(out.String(), "hot Retrieve") {
		t.Errorf("the table is\n%s", &out)
	}
}
