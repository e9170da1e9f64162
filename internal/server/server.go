// Package server assembles the product: storage, keys, the client, the API and
// the customer's page, behind one address.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// A Server is an assembled server. Nothing listens until [Server.Run].
type Server struct {
	config    *Config
	log       *slog.Logger
	store     *sqlite.Store
	keys      *crossaccount.KeySet
	encryptor crossaccount.Encryptor
	client    *crossaccount.Client
	site      *Site
	address   atomic.Value // string: where Run listens

	credentials atomic.Value // string: where credentials are handed out
}

// New opens the database and the keys, making them if there are none, and
// assembles the server. It asks AWS nothing. [Server.Close] or [Server.Run] ends
// it.
func New(ctx context.Context, config *Config, log *slog.Logger) (*Server, error) {
	s := &Server{config: config, log: log}
	if err := s.assemble(ctx); err != nil {
		_ = s.Close() // the first error counts
		return nil, err
	}
	return s, nil
}

func (s *Server) assemble(ctx context.Context) error {
	service, options, err := s.config.parseService()
	if err != nil {
		return err
	}
	if err := service.Validate(); err != nil { // before keys and database are made
		return err
	}
	keys, err := openKeys(s.config)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.expectEmpty(ctx); err == nil {
			keys, err = crossaccount.OpenKeyFile(s.config.KeyFile, nil)
			s.log.Info("crossaccount: made a new key file; back it up apart from the database", "file", s.config.KeyFile)
		}
	}
	if err != nil {
		return err
	}
	s.keys = keys
	if s.encryptor, err = crossaccount.NewAESEncryptor(keys); err != nil {
		return err
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := keysFit(ctx, s.store, s.encryptor); err != nil {
		return err
	}
	identities, err := identify(ctx, s.config, service)
	if err != nil {
		return err
	}
	service.AWSConfig = identities.broker
	if identities.probe != nil {
		options = append(options, crossaccount.WithProbe(*identities.probe))
	}
	options = append(options, crossaccount.WithStorage(s.store), crossaccount.WithEncryption(s.encryptor),
		crossaccount.WithLogger(s.log), crossaccount.WithTenantResolver(PageCustomer))
	options = append(options, s.config.accessOptions()...)
	if s.config.SharedSessions {
		options = append(options, crossaccount.WithSharedSessions(s.store.Sessions(time.Now), nil))
	}
	if s.client, err = crossaccount.New(service, options...); err != nil {
		return err
	}
	for _, warning := range s.config.Warnings() {
		s.log.Warn("crossaccount: " + warning)
	}
	authenticate := api.Trusting()
	if s.config.OperatorToken != "" {
		authenticate = api.OperatorToken(s.config.OperatorToken)
	}
	s.site, err = NewSite(s.client, SiteOptions{
		Authenticate: authenticate, LoopbackNamesOnly: s.config.OperatorToken == "",
		Answers: s.store, Encryptor: s.encryptor, PublicURL: s.publicURL, HandOutCredentials: s.config.OperatorCredentials,
		TLS: s.config.TLSCertificateFile != "", Logger: s.log, Version: Version(),
	})
	return err
}

func (s *Server) openStore(ctx context.Context) (err error) {
	if s.store == nil {
		s.store, err = sqlite.Open(ctx, s.config.Database, sqlite.Options{})
	}
	return err
}

// expectEmpty refuses to make new keys for a database whose integrations were
// sealed with other ones.
func (s *Server) expectEmpty(ctx context.Context) error {
	if err := s.openStore(ctx); err != nil {
		return err
	}
	page, err := s.store.List(ctx, crossaccount.IntegrationQuery{AllCustomers: true, Limit: 1})
	if err == nil && len(page.Integrations) > 0 {
		err = invalid("key_file: there is none, but the database has integrations that were sealed with its keys", "restore the key file from its backup")
	}
	return err
}

// keysFit refuses keys that open nothing of what some records have sealed. A
// server with the keys of another installation would begin onboardings beside
// those it cannot continue, and its blind index would not know their external
// IDs. One value that was altered is no reason not to serve the others.
func keysFit(ctx context.Context, store *sqlite.Store, encryptor crossaccount.Encryptor) error {
	page, err := store.List(ctx, crossaccount.IntegrationQuery{AllCustomers: true, Limit: 10})
	if err != nil || len(page.Integrations) == 0 {
		return err
	}
	opens := func(i *crossaccount.Integration) bool {
		_, err := encryptor.Open(ctx, i.SealedExternalID, crossaccount.Binding{CustomerID: i.CustomerID, IntegrationID: i.ID, Field: "external_id"})
		return err == nil
	}
	if !slices.ContainsFunc(page.Integrations, opens) {
		return invalid("keys: they do not open what is in the database; nothing was changed", "use the key file that belongs to this database; restore it from its backup")
	}
	return nil
}

// openKeys reads the keys. The error is fs.ErrNotExist if there is no file yet.
func openKeys(config *Config) (*crossaccount.KeySet, error) {
	if config.Keys != "" {
		return crossaccount.ParseKeySet([]byte(config.Keys))
	}
	return crossaccount.ReadKeyFile(config.KeyFile)
}

// identities are what the server is in AWS.
type identities struct {
	ambient, broker aws.Config
	probe           *aws.Config // nil if none is configured
}

// keptConnections is how many connections to each of AWS's hosts are kept. With
// the SDK's 10, most calls of many verifications at once would begin with a TLS
// handshake.
const keptConnections = 100

// identify finds out where credentials come from, without asking for any.
func identify(ctx context.Context, config *Config, service *crossaccount.Config) (*identities, error) {
	region := service.DefaultRegion
	if region == "" {
		region = crossaccount.DefaultRegion
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = keptConnections })
	ambient, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithDefaultRegion(region), awsconfig.WithHTTPClient(client))
	if err != nil {
		// The SDK's message may quote the files it read.
		return nil, crossaccount.NewError(crossaccount.CodeInvalidConfig, "the AWS configuration of this process cannot be loaded", "check the AWS_ variables and the shared configuration files", err)
	}
	found := &identities{ambient: ambient, broker: ambient}
	broker, _ := config.Service["broker_role_arn"].(string)
	if config.AssumeBrokerRole {
		if broker == "" {
			return nil, invalid("assume_broker_role: needs service.broker_role_arn", "")
		}
		found.broker = assuming(ambient, broker, "crossaccount-broker")
	}
	if probe, _ := config.Service["probe_role_arn"].(string); probe != "" {
		assumed := assuming(ambient, probe, "crossaccount-probe")
		found.probe = &assumed
	}
	return found, nil
}

func assuming(base aws.Config, roleARN, sessionName string) aws.Config {
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = sessionName
	})
	config := base.Copy()
	config.Credentials = aws.NewCredentialsCache(provider)
	return config
}

// Limits of connections. What a request may do is limited by its handler; the
// page's event streams have no limit of their own.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	lastAnswers    = time.Second // to send answers about what was cut off
)

// Run listens and serves until the context ends, then finishes what is under way
// and closes everything. Ready, if not nil, is told where the server listens.
func (s *Server) Run(ctx context.Context, ready func(net.Addr)) error {
	defer s.Close()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return crossaccount.NewError(crossaccount.CodeInvalidConfig, fmt.Sprintf("cannot listen on %s: %v", s.config.Listen, err), "choose another address with listen", nil)
	}
	server := &http.Server{
		Handler:           s.site,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // strangers cause these
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	if s.config.TLSCertificateFile != "" {
		pair, err := tls.LoadX509KeyPair(s.config.TLSCertificateFile, s.config.TLSKeyFile)
		if err != nil {
			_ = listener.Close() // nobody was accepted yet
			return crossaccount.NewError(crossaccount.CodeInvalidConfig, "the TLS certificate or its key cannot be used", "check tls_certificate_file and tls_key_file", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	credentials, err := s.openEndpoint(ctx)
	if err != nil {
		_ = listener.Close() // nobody was accepted yet
		return err
	}
	s.address.Store(listener.Addr().String())
	s.log.Info("crossaccount: listening", "address", listener.Addr().String(), "version", Version())
	if ready != nil {
		ready(listener.Addr())
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		credentials.close(context.WithoutCancel(ctx))
		return crossaccount.NewError(api.CodeInternal, "the server stopped by itself", "the cause is in the log", err)
	case <-ctx.Done():
	}
	s.log.Info("crossaccount: shutting down", "timeout", s.config.ShutdownTimeout.String())
	end := time.Now().Add(s.config.ShutdownTimeout)
	limit, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	// Programs stop getting credentials first, while what they got can still be
	// audited, and before the client closes.
	credentials.close(limit)
	// The verifications next, so that /readyz says so while they are finished.
	// Requests that waited for them get their answers.
	background := s.site.Close(limit)
	limit, cancel = context.WithTimeout(context.WithoutCancel(ctx), max(lastAnswers, time.Until(end)))
	defer cancel()
	if err := errors.Join(background, server.Shutdown(limit)); err != nil {
		_ = server.Close() // the connections are cut off either way
		s.log.Warn("crossaccount: not everything was finished in time; it is continued when it is asked for again")
	}
	s.log.Info("crossaccount: stopped")
	return nil
}

// publicURL returns where customers' browsers reach the server, or "" if that is
// not known.
func (s *Server) publicURL() string {
	if s.config.PublicURL != "" {
		return strings.TrimSuffix(s.config.PublicURL, "/")
	}
	address, _ := s.address.Load().(string)
	if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
		return ""
	}
	if s.config.TLSCertificateFile != "" {
		return "https://" + address
	}
	return "http://" + address
}

// Handler serves everything without a listener.
func (s *Server) Handler() http.Handler { return s.site }

// Local returns a client of the API that works within the process, as operator.
func (s *Server) Local() (*api.Client, error) {
	handler, err := api.New(s.client, api.Options{
		Authenticate: api.Trusting(), Logger: s.log, Answers: s.store, Encryptor: s.encryptor, SetupPage: setupPage(s.publicURL),
		HandOutCredentials: true, // whoever has the database and its keys has them anyway
	})
	if err != nil {
		return nil, err
	}
	return api.NewClient("https://local", api.WithHTTPClient(&http.Client{Transport: inProcess{handler}}))
}

// Close closes the database. It may be called again.
func (s *Server) Close() error {
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// inProcess is a transport that calls a handler.
type inProcess struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	read, write := io.Pipe()
	answer := &pipedResponse{header: http.Header{}, body: write, started: make(chan struct{})}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	go func() {
		t.handler.ServeHTTP(answer, r)
		answer.WriteHeader(http.StatusOK)
		_ = write.Close() // a pipe's never fails
	}()
	select {
	case <-answer.started:
		return &http.Response{
			Status: http.StatusText(answer.status), StatusCode: answer.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: answer.sent, Body: read, ContentLength: -1, Request: r,
		}, nil
	case <-r.Context().Done():
		read.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
}

type pipedResponse struct {
	header, sent http.Header
	status       int
	body         io.Writer
	started      chan struct{}
}

func (p *pipedResponse) Header() http.Header { return p.header }

func (p *pipedResponse) WriteHeader(status int) {
	if p.status == 0 {
		p.status, p.sent = status, p.header.Clone()
		close(p.started)
	}
}

func (p *pipedResponse) Write(data []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(data)
}

// NewLogger returns the server's logger: JSON, one line for each entry.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// exists reports whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
