package crossaccount_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
)

// To fill the limiter's memory with other customers makes nobody free.
func TestLimitsAreNotForgottenUnderLoad(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	allow := crossaccount.NewLimiter(func() time.Time { return now })
	used := 0
	for used < 30 && allow("one", oneID) {
		used++
	}
	if used != 10 {
		t.Fatalf("%d were allowed at once, want 10", used)
	}
	for n := range 10_100 {
		if !allow(fmt.Sprint("other-", n), "") {
			t.Fatalf("customer %d is limited by the others", n)
		}
	}
	if allow("one", oneID) {
		t.Error("allowed once many others came")
	}
	now = now.Add(6 * time.Second)
	if !allow("one", oneID) {
		t.Error("not allowed six seconds later")
	}
	if allow("one", oneID) {
		t.Error("allowed twice six seconds later")
	}
}
