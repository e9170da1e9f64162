package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
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
	request, err := http.NewRequest(http.MethodGet, "http://"+strings.TrimPrefix(args[1], "http://"), nil)
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
	response, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	ts.Check(err)
	return response.StatusCode, body
}
