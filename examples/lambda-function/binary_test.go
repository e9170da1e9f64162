package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
)

// A runtime is the interface that Lambda offers to the program of a function.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtime struct {
	events  chan []byte
	answers chan []byte
}

func (r *runtime) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	const prefix = "/2018-06-01/runtime/invocation/"
	switch request.Method + " " + request.URL.Path {
	case "GET " + prefix + "next":
		select {
		case event := <-r.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "one")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			w.Write(event)
		case <-request.Context().Done():
		}
	case "POST " + prefix + "one/response":
		answer, _ := io.ReadAll(request.Body)
		w.WriteHeader(http.StatusAccepted)
		r.answers <- answer
	default:
		http.NotFound(w, request)
	}
}

// The program that is deployed is built and run as Lambda does it.
func TestTheBinary(t *testing.T) {
	w := newWorld(t)
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	endpoint := httptest.NewTLSServer(w.box) // the template bucket insists on TLS
	defer endpoint.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	lambda := &runtime{make(chan []byte), make(chan []byte)}
	server := httptest.NewServer(lambda)
	defer server.Close()

	function := exec.CommandContext(t.Context(), program)
	session, err := w.broker.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	function.Env = append(w.box.Environment(endpoint.URL, sandbox.Credentials{
		AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken,
	}), "AWS_CA_BUNDLE="+certificate, "AWS_LAMBDA_RUNTIME_API="+server.Listener.Addr().String(), "FORGET_EVERYTHING=true")
	for name, value := range w.environment() {
		function.Env = append(function.Env, name+"="+value)
	}
	function.Stdout, function.Stderr = &w.log, &w.log
	if err := function.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		function.Wait()
		close(ended)
	}()
	defer func() {
		function.Process.Kill()
		<-ended // before the log is searched
	}()
	invoke := func(e event) answer {
		t.Helper()
		payload, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		for next := lambda.events; ; {
			select {
			case next <- payload:
				next = nil // once
			case output := <-lambda.answers:
				if err := json.Unmarshal(output, &a.APIGatewayProxyResponse); err != nil {
					t.Fatalf("%v: %s", err, output)
				}
				return a
			case <-ended:
				t.Fatalf("the program ended:\n%s", &w.log)
			}
		}
	}
	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(invoke(w.read("start")).Body), &started); err != nil || started.ExternalID == "" {
		t.Fatalf("%v\n%s", err, &w.log)
	}
	w.secrets = append(w.secrets, started.ExternalID)
	w.launch(acmeAccount, started.LaunchURL)
	if a := invoke(w.read("complete")); a.StatusCode != 200 {
		t.Fatalf("complete: status %d, %s", a.StatusCode, a.Body)
	}
	var report Report
	if a := invoke(w.read("data")); json.Unmarshal([]byte(a.Body), &report) != nil || string(report.Content) != "acme,42\n" {
		t.Errorf("data: status %d, %s", a.StatusCode, a.Body)
	}
}
