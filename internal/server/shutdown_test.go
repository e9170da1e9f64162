package server_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/servetest"
)

// A page that follows a verification does not hold the end of the server, here
// for ten minutes, and is told to come back.
func TestStreamsDoNotHoldTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w, "CROSSACCOUNT_SHUTDOWN_TIMEOUT=10m")
	client, err := p.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	started, err := client.Start(t.Context(), &api.StartRequest{CustomerID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	role := &api.RoleRequest{CustomerID: "acme", RoleARN: "arn:aws:iam::" + servetest.AccountID(1) + ":role/not-there-yet"}
	if report, err := client.Verify(t.Context(), started.IntegrationID, role); err != nil || report.Code != crossaccount.CodePropagating {
		t.Fatalf("%+v, %v", report, err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/connect/acme?events="+started.IntegrationID, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("operator", servetest.Token)
	stream, err := servetest.Transport(1).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK || stream.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", stream.Status, stream.Header)
	}
	if err := errors.Join(p.Interrupt(), p.Wait()); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	said, err := io.ReadAll(stream.Body)
	if err != nil || !strings.HasSuffix(string(said), "event: restart\ndata: {}\nretry: 3000\n\n") {
		t.Errorf("the stream said %q, %v", said, err)
	}
}
