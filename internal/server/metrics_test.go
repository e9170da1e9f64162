package server_test

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// readMetrics prints what Prometheus's own client library reads from a text, a
// line for each sample.
const readMetrics = `
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ("counter", "gauge"), family
    for s in family.samples:
        print(s.name, *("%s=%s" % label for label in sorted(s.labels.items())), s.value)
`

func TestMetrics(t *testing.T) {
	python := testenv.Python(t, "prometheus_client")
	w := newWorld(t)
	p := serve(t, w, "CROSSACCOUNT_OPERATOR_CREDENTIALS=true")
	if _, err := w.Onboard(t.Context(), p, 2); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	metrics := func(header ...string) (answer, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{response.Status, response.StatusCode, response.Header}, string(body)
	}
	if response, _ := metrics(); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %s", response.Status)
	}
	bearer := []string{"Authorization", "Bearer " + servetest.Token}
	customer := servetest.CustomerID(0)
	if response, _ := metrics(append(bearer, "Crossaccount-Customer", customer)...); response.StatusCode != http.StatusForbidden {
		t.Errorf("confined to a customer: %s", response.Status)
	}

	client, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := client.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: customer}); err != nil {
			t.Fatal(err)
		}
	}
	response, text := metrics(bearer...)
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Fatalf("%s %s", response.Status, kind)
	}
	if strings.Contains(text, customer) || strings.Contains(text, "arn:") {
		t.Errorf("the metrics name a customer or a role:\n%s", text)
	}
	command := exec.CommandContext(t.Context(), python, "-c", readMetrics)
	command.Stdin = strings.NewReader(text)
	read, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("Prometheus does not read this: %v\n%s\n%s", err, read, text)
	}
	for _, want := range []string{
		"crossaccount_broker_entries state=warm 1",
		"crossaccount_broker_waits_total [1-9]", // one, unless the machine is so slow that it is asked again
		"crossaccount_broker_sessions_total source=sts [1-9]",
		"crossaccount_sts_calls_total outcome=issued region=us-east-1 [1-9]",
		"crossaccount_sts_up region=us-east-1 1",
		"crossaccount_sts_calls_per_second_allowed region=us-east-1 300",
		"crossaccount_http_responses_total class=4xx 2",
		"crossaccount_build_info version=.+ 1",
		"crossaccount_start_time_seconds 1[0-9]{9}.*",
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").Match(read) {
			t.Errorf("there is no %q in\n%s", want, read)
		}
	}
	if err := p.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
