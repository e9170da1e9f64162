package server

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/broker"
)

// metricsType is Prometheus's text format, which OpenTelemetry collectors read
// as well: https://prometheus.io/docs/instrumenting/exposition_formats/.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics answers with the counts of this process. No label names a customer, a
// role or an integration: there may be a million of them, and metrics are read
// by people who need not know them.
func (s *Site) metrics(w http.ResponseWriter, _ *http.Request) {
	var m exposition
	m.family("crossaccount_build_info", "gauge", "1, with the version that runs.")
	m.sample(1, "version", s.options.Version)
	m.family("crossaccount_start_time_seconds", "gauge", "When the process began to serve, in seconds since 1970.")
	m.sample(float64(s.started.UnixMilli()) / 1000)
	m.family("crossaccount_http_responses_total", "counter", "Answers of the server's address, by class of status.")
	for class := range s.answered {
		if n := s.answered[class].Load(); n > 0 {
			m.sample(float64(n), "class", fmt.Sprintf("%dxx", class))
		}
	}
	m.broker(s.client.BrokerStats())
	w.Header().Set("Content-Type", metricsType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(m.Bytes())
}

// An exposition is a text in Prometheus's format.
type exposition struct {
	bytes.Buffer
	name string // of the family
}

func (m *exposition) family(name, kind, help string) {
	m.name = name
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample adds a value with labels, given as names and values in turn.
func (m *exposition) sample(value float64, labels ...string) {
	m.WriteString(m.name)
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(m, `%c%s="%s"`, "{,"[min(i, 1)], labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		m.WriteByte('}')
	}
	fmt.Fprintf(m, " %v\n", value)
}

func (m *exposition) one(name, kind, help string, value float64) {
	m.family(name, kind, help)
	m.sample(value)
}

func (m *exposition) broker(s broker.Stats) {
	m.family("crossaccount_broker_entries", "gauge", "Roles whose credentials are kept, by state; docs/broker.md says what to do about each.")
	for _, state := range slices.Sorted(maps.Keys(s.States)) {
		m.sample(float64(s.States[state]), "state", string(state))
	}
	m.one("crossaccount_broker_entries_ending", "gauge", "Roles with valid credentials that renewing should have replaced by now. More than a few: STS is down, or its budget used up.", float64(s.Ending))
	m.one("crossaccount_broker_queue", "gauge", "Roles that wait for the budget of STS calls.", float64(s.Queued))
	m.one("crossaccount_broker_flights", "gauge", "Sessions that are being obtained.", float64(s.Flights))
	m.one("crossaccount_broker_callers_waiting", "gauge", "Callers that wait for credentials.", float64(s.Waiting))
	m.one("crossaccount_broker_waits_total", "counter", "Callers that had to wait.", float64(s.Waits))
	m.family("crossaccount_broker_sessions_total", "counter", "Sessions obtained, by where from.")
	m.sample(float64(s.Issued), "source", "sts")
	m.sample(float64(s.Shared), "source", "shared_store")
	m.one("crossaccount_broker_store_errors_total", "counter", "Failures of the store of shared sessions.", float64(s.StoreErrors))
	m.one("crossaccount_sts_hedges_total", "counter", "Second calls of STS for the same session, because the first was slow.", float64(s.Hedges))
	if len(s.Regions) == 0 {
		return
	}
	m.family("crossaccount_sts_calls_total", "counter", "Calls of AssumeRole, by region and outcome.")
	for _, r := range s.Regions {
		for _, code := range slices.Sorted(maps.Keys(r.Answers)) {
			outcome := string(code)
			if outcome == "" {
				outcome = "issued"
			}
			m.sample(float64(r.Answers[code]), "region", r.Region, "outcome", outcome)
		}
	}
	m.family("crossaccount_sts_up", "gauge", "1 if calls are made to the region's STS endpoint, 0 if it fails and is left alone.")
	for _, r := range s.Regions {
		up := 1.0
		if r.Open {
			up = 0
		}
		m.sample(up, "region", r.Region)
	}
	m.family("crossaccount_sts_calls_per_second_allowed", "gauge", "What the budget allows now; less than sts_rate while and after AWS throttles.")
	for _, r := range s.Regions {
		m.sample(r.CallsPerSecond, "region", r.Region)
	}
}

// operators lets nobody pass who is confined to a customer.
func (s *Site) operators(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		principal, err := s.options.Authenticate(r)
		switch {
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the operator token is missing or wrong", http.StatusUnauthorized)
		case !principal.Operator:
			http.Error(w, "metrics are for operators who do not act for a customer", http.StatusForbidden)
		default:
			next(w, r)
		}
	}
}
