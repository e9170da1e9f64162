package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// freeAddress sets a variable to an address of this machine where nobody listens:
//
//	free-address NAME
func freeAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: free-address NAME")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], listener.Addr().String())
	ts.Check(listener.Close())
}

// ask sends a GET request with the token of a file, "-" for none, and prints the
// answer, which must have this status. Tokens count within seconds, so it is tried
// again for a while:
//
//	ask FILE ADDRESS/PATH STATUS [HEADER=VALUE…]
//
// The address may be that of a socket, unix:NAME.sock.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: ask FILE ADDRESS/PATH STATUS [HEADER=VALUE…]")
	}
	limit := time.After(30 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		status, body := get(ts, args)
		if strconv.Itoa(status) == args[2] {
			_, err := ts.Stdout().Write(body)
			ts.Check(err)
			return
		}
		select {
		case <-limit:
			ts.Fatalf("%s: status %d\n%s", args[1], status, body)
		case <-again.C:
		}
	}
}

func get(ts *testscript.TestScript, args []string) (status int, body []byte) {
	address, transport := strings.TrimPrefix(args[1], "http://"), http.DefaultTransport
	if socket, unix := strings.CutPrefix(address, "unix:"); unix {
		socket, path, _ := strings.Cut(socket, ".sock")
		address = "localhost" + path
		transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", ts.MkAbs(socket+".sock"))
		}}
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+address, nil)
	ts.Check(err)
	if args[0] != "-" {
		request.Header.Set("Authorization", ts.ReadFile(args[0]))
	}
	for _, header := range args[3:] {
		name, value, _ := strings.Cut(header, "=")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := transport.RoundTrip(request)
	ts.Check(err)
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	ts.Check(err)
	return response.StatusCode, body
}

// signInEndpoint sets SIGN_IN to a sign-in endpoint of AWS's console, which gives
// tokens for sessions that the sandbox knows. Like AWS's it refuses to say how long
// the sessions of chained roles last:
//
//	sign-in-endpoint
func signInEndpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: sign-in-endpoint")
	}
	box, ok := worlds.Load(ts.Getenv("AWS_ENDPOINT_URL"))
	if !ok {
		ts.Fatalf("aws-world comes first")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var session struct{ SessionID, SessionKey, SessionToken string }
		if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.PostFormValue("Action") != "getSigninToken" ||
			json.Unmarshal([]byte(r.PostFormValue("Session")), &session) != nil || r.PostFormValue("SessionDuration") != "" {
			http.Error(w, "Invalid credentials parameter", http.StatusBadRequest)
			return
		}
		config := box.(*sandboxtest.Sandbox).Config(sandbox.Credentials{
			AccessKeyID: session.SessionID, SecretAccessKey: session.SessionKey, SessionToken: session.SessionToken,
		})
		who, err := sts.NewFromConfig(config).GetCallerIdentity(r.Context(), nil)
		if err != nil {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"SigninToken": "token-of-" + *who.Account}) // the test sees what is missing
	}))
	ts.Defer(server.Close)
	ts.Setenv("SIGN_IN", server.URL+"/federation")
}
