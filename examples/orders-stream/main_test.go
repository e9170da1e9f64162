package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/examples/orders-stream/consumer"
	"github.com/crossaccount/crossaccount/grant"
)

// The whole story, as the README tells it.
func TestStory(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"alpha → analytics-testing  1 order, 100 cents", "beta  → analytics-staging  1 order, 200 cents", "prod  → analytics-prod     1 order, 300 cents",
		"the function in production cannot read the streams of other stages, nor dev", "Removed in reverse",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// Nothing of the plan is about dev, and what is compiled is what is declared.
func TestManifest(t *testing.T) {
	m, err := grant.Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Stacks() {
		if s.Stage == "dev" || s.Account == "orders-dev" {
			t.Errorf("the stack %s is in dev", s.Name)
		}
	}
	report, err := plan.Check()
	if err != nil || !report.OK() {
		t.Errorf("%+v %v", report, err)
	}
}

// A record that comes again counts once, and one that is no order fails the
// batch, so that Lambda tries it again.
func TestCounter(t *testing.T) {
	var c consumer.Counter
	event := func(data ...string) (e consumer.Event) {
		var records []map[string]any
		for _, d := range data {
			records = append(records, map[string]any{"eventID": "shard:1", "kinesis": map[string]any{"data": []byte(d)}})
		}
		text, err := json.Marshal(map[string]any{"Records": records})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for range 2 {
		if err := c.Handle(t.Context(), event(`{"id":"1","cents":5}`, `{"id":"2","cents":7}`)); err != nil {
			t.Fatal(err)
		}
	}
	if cents, orders := c.Total(); cents != 12 || orders != 2 {
		t.Errorf("%d cents in %d orders", cents, orders)
	}
	if err := c.Handle(t.Context(), event(`{`)); err == nil || !strings.Contains(err.Error(), "shard:1") {
		t.Errorf("no order: %v", err)
	}
}
