package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/server"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

const (
	token   = "0123456789abcdef0123456789abcdef"
	service = `"service":{"service_name":"Example","service_account_id":"111122223333","ongoing_permissions":[{"actions":["s3:GetObject"],"resources":["*"]}]}`
)

// read reads a configuration with nothing but what is given.
func read(t *testing.T, file string, environment, flags map[string]string) (*server.Config, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.ReadConfig(server.Source{
		File:   name,
		Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok },
		Flags:  flags,
	})
}

func TestPrecedence(t *testing.T) {
	for _, tt := range []struct {
		name, file       string
		environment      map[string]string
		flags            map[string]string
		listen, accounts string
	}{
		{"defaults", `{}`, nil, nil, "127.0.0.1:8080", ""},
		{"file", `{"listen":"127.0.0.1:1","service":{"service_account_id":"1"}}`, nil, nil, "127.0.0.1:1", "1"},
		{"yaml", "listen: 127.0.0.1:1\nservice: {service_account_id: 012345678901}", nil, nil, "127.0.0.1:1", "012345678901"},
		{"environment", `{"listen":"127.0.0.1:1","service":{"service_account_id":"1"}}`,
			map[string]string{"CROSSACCOUNT_LISTEN": "127.0.0.1:2", "CROSSACCOUNT_SERVICE_ACCOUNT_ID": "2"}, nil, "127.0.0.1:2", "2"},
		{"flag", `{"listen":"127.0.0.1:1"}`, map[string]string{"CROSSACCOUNT_LISTEN": "127.0.0.1:2"},
			map[string]string{"listen": "127.0.0.1:3", "service-account-id": "3"}, "127.0.0.1:3", "3"},
	} {
		c, err := read(t, tt.file, tt.environment, tt.flags)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		account, _ := c.Service["service_account_id"].(string)
		if c.Listen != tt.listen || account != tt.accounts {
			t.Errorf("%s: listens on %s for %q", tt.name, c.Listen, account)
		}
	}
}

func TestWrongConfigurations(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file        string
		environment map[string]string
		want        string
	}{
		"not an object":          {`[]`, nil, "must be an object"},
		"unknown key":            {`{"port":1}`, nil, `"port": is no setting`},
		"nested":                 {`{"listen":{}}`, nil, "listen: must be a plain value"},
		"service":                {`{"service":1}`, nil, "service: must be an object"},
		"token in file":          {`{"operator_token":"x"}`, nil, "secrets do not belong into this file"},
		"keys in file":           {`{"keys":"x"}`, nil, "secrets do not belong into this file"},
		"everybody":              {`{"listen":"0.0.0.0:80"}`, nil, "without an operator token everybody may do everything"},
		"everybody, IPv6":        {`{"listen":"[::]:80"}`, nil, "without an operator token"},
		"some host":              {`{"listen":"example.com:80"}`, nil, "without an operator token"},
		"no port":                {`{"listen":"127.0.0.1"}`, nil, "must be host:port"},
		"half of TLS":            {`{"tls_key_file":"x"}`, nil, "one is missing"},
		"no database":            {`{"database":""}`, nil, "database: must name a file"},
		"empty token":            {`{"operator_token_file":"` + empty + `"}`, nil, "the file is empty"},
		"missing token":          {`{"operator_token_file":"` + empty + `.missing"}`, nil, "no such file"},
		"wrong duration":         {`{"shutdown_timeout":5}`, nil, "shutdown_timeout: must be a duration"},
		"wrong boolean":          {`{}`, map[string]string{"CROSSACCOUNT_ASSUME_BROKER_ROLE": "maybe"}, "CROSSACCOUNT_ASSUME_BROKER_ROLE: must be true or false"},
		"YAML, key twice":        {"listen: a\nlisten: b", nil, `"listen"`},
		"credentials for all":    {`{"credentials_listen":"0.0.0.0:1"}`, nil, "on this machine only"},
		"credentials by name":    {`{"credentials_listen":"localhost:1"}`, nil, "on this machine only"},
		"credentials, mapped":    {`{"credentials_listen":"[::]:1"}`, nil, "on this machine only"},
		"credentials, no path":   {`{"credentials_listen":"unix:"}`, nil, "on this machine only"},
		"no rate":                {`{"sts_rate":0}`, nil, "sts_rate: must be a number of at least 1"},
		"no region":              {`{"sts_regions":["nowhere"]}`, nil, "is not a region"},
		"withdrawal":             {`{"withdrawal":"never"}`, nil, "must be stop or drain"},
		"list":                   {`{"listen":["127.0.0.1:1"]}`, nil, "listen: must be a plain value"},
		"purposes":               {`{"purposes":["inventory"]}`, nil, "purposes: must be an object"},
		"purpose without policy": {`{"purposes":{"inventory":{}}}`, nil, "would narrow nothing"},
		"purpose, unknown key":   {`{"purposes":{"inventory":{"polcy":{}}}}`, nil, "purposes.inventory.polcy: is no setting"},
		"purpose, no policy":     {`{"purposes":{"inventory":{"policy":{"Statement":1}}}}`, nil, "inventory"},
		"purpose, whole role":    {`{"purposes":{"-":{"policy_arns":["arn:aws:iam::aws:policy/ReadOnlyAccess"]}}}`, nil, "cannot be the name"},
		"YAML with anchor":       {"listen: &a b\ndatabase: *a", nil, "aliases are not supported"},
	} {
		c, err := read(t, tt.file, tt.environment, nil)
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, c, err, tt.want)
		}
	}
}

// The manual lists every setting as it is.
func TestManualHasEverySetting(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| key in `server.yaml` | environment | flag | default | meaning |\n|---|---|---|---|---|\n")
	for _, s := range server.Settings() {
		row := []string{code(s.Key), code(s.Environment), "", code(s.Default), s.Help}
		if s.Flag != "" {
			row[2] = code("--" + s.Flag)
		}
		table.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	if !bytes.Contains(manual, []byte(table.String())) {
		t.Errorf("docs/operating.md does not have this table:\n\n%s", table.String())
	}
	var seen []string
	for _, s := range server.Settings() {
		if s.Environment == "" || slices.Contains(seen, s.Environment) {
			t.Errorf("%s: the environment variable %q is missing or not its own", s.Key, s.Environment)
		}
		seen = append(seen, s.Environment)
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// A running server, for one test.
type running struct {
	*testing.T
	url string
	log *bytes.Buffer // read it after stop
	end func() error
}

func start(t *testing.T, environment map[string]string) *running {
	t.Helper()
	testenv.IsolateAWS(t)
	t.Chdir(t.TempDir())
	config, err := read(t, `{"listen":"127.0.0.1:0",`+service+`}`, environment, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	s, err := server.New(t.Context(), config, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	address, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(a net.Addr) { address <- a }) }()
	r := &running{T: t, log: log, url: "http://" + (<-address).String()}
	stopped := false
	r.end = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// An answer is a response without its body.
type answer struct {
	Status     string
	StatusCode int
	Header     http.Header
}

func (r *running) get(path string, header ...string) answer {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	return answer{response.Status, response.StatusCode, response.Header}
}

func TestWithoutToken(t *testing.T) {
	r := start(t, nil)
	for _, tt := range []struct {
		host string
		want int
	}{
		{"", 200}, {"localhost:8080", 200}, {"localhost", 200}, {"127.0.0.1:1", 200}, {"[::1]:1", 200}, {"[::1]", 200},
		{"evil.example", 421}, {"127.0.0.1.evil.example:8080", 421}, {"10.0.0.1", 421},
	} {
		if got := r.get("/v1/integrations", "Host", tt.host).StatusCode; got != tt.want {
			t.Errorf("host %q: %d, want %d", tt.host, got, tt.want)
		}
	}
}

func TestWithToken(t *testing.T) {
	r := start(t, map[string]string{"CROSSACCOUNT_OPERATOR_TOKEN": token})
	bearer := []string{"Authorization", "Bearer " + token}
	// Browsers send what people type as basic authentication.
	basic := []string{"Authorization", "Basic b3BlcmF0b3I6MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	for _, tt := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/healthz", nil, 200},
		{"/readyz", nil, 200},
		{"/openapi.json", nil, 200},
		{"/", nil, 303},
		{"/v1/integrations", nil, 401},
		{"/v1/integrations", []string{"Authorization", "Bearer wrong"}, 401},
		{"/v1/integrations", bearer, 200},
		{"/v1/integrations", basic, 200},
		{"/v1/integrations", append(bearer, "Host", "crossaccount.example"), 200},
		{"/connect", nil, 401},
		{"/connect/acme", nil, 401},
		{"/connect", basic, 200},
		{"/connect?customer_id=a%2Fb", basic, 303},
		{"/connect/acme", basic, 200},
		{"/connect/a%2Fb", bearer, 200},
		{"/connect", append(bearer, "Crossaccount-Customer", "acme"), 200},
		{"/connect/acme", append(bearer, "Crossaccount-Customer", "acme"), 200},
		{"/connect/globex", append(bearer, "Crossaccount-Customer", "acme"), 403},
		{"/nonsense", nil, 404},
	} {
		response := r.get(tt.path, tt.header...)
		if response.StatusCode != tt.want {
			t.Errorf("%s %v: %s, want %d", tt.path, tt.header, response.Status, tt.want)
		}
		for _, name := range []string{"X-Request-Id", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy"} {
			if response.Header.Get(name) == "" {
				t.Errorf("%s: no %s", tt.path, name)
			}
		}
		if tt.want == 401 && response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a browser would not ask for the token", tt.path)
		}
	}
	if id := r.get("/healthz", "X-Request-Id", "from-the-proxy").Header.Get("X-Request-Id"); id != "from-the-proxy" {
		t.Errorf("the proxy's request id became %q", id)
	}
	if id := r.get("/healthz", "X-Request-Id", `"><script>`).Header.Get("X-Request-Id"); strings.Contains(id, "<") {
		t.Errorf("a hostile request id was kept: %q", id)
	}
	r.get("/v1/integrations?customer_id=private-customer", bearer...)
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, "private-customer"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log contains %s", secret)
		}
	}
	for line := range strings.Lines(r.log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// New keys must never be made for a database that was sealed with others.
func TestLostKeys(t *testing.T) {
	testenv.IsolateAWS(t)
	t.Chdir(t.TempDir())
	config, err := read(t, `{`+service+`}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := server.New(t.Context(), config, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{config.Database, config.KeyFile} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	// Others could have read them.
	if err := os.Chmod(config.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(t.Context(), config, log); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("readable keys: %v", err)
	}
	// Without integrations, new keys hurt nobody.
	if err := os.Remove(config.KeyFile); err != nil {
		t.Fatal(err)
	}
	if s, err = server.New(t.Context(), config, log); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A wrong database is left alone, and nothing else is made.
	if err := os.WriteFile("text.db", []byte("this is no database, although it is long enough to be one"), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Database, config.KeyFile = "text.db", "other-keys.json"
	if _, err := server.New(t.Context(), config, log); crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig {
		t.Errorf("a text file as database: %v", err)
	}
	if _, err := os.Stat("other-keys.json"); err == nil {
		t.Error("keys were made although the start failed")
	}
}
