package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/broker"
)

// A signedCall is one request of curl.
type signedCall struct {
	roleUser
	method, data, service, region string
	headers                       []string
	include, verbose              bool
}

func newCurl(streams Streams) *cobra.Command {
	u := &signedCall{roleUser: roleUser{operator: operator{streams: streams}}}
	c := &cobra.Command{
		Use:   "curl CUSTOMER URL",
		Short: "Send a request signed with a customer's access",
		Long: `Send one HTTP request, signed (Signature Version 4) with the credentials of a
customer's role: to an API behind API Gateway, a Lambda function's URL, or any AWS
service. What is answered goes to standard output.

Service and region are told from AWS's hosts; -v says which they are. Requests to
other hosts, such as a domain of one's own in front of an API, need --service, and
--region unless it is the integration's, which --endpoint does not tell: without
them nothing is sent. Nothing is sent in clear either, except to this machine, and
redirects are not followed.

` + whereFrom + `

Exit code 0 if the answer's status is below 400, 1 if not (the answer is printed
all the same) or if the access was refused, 2 for wrong usage, 3 if nobody
answered.`,
		Example: `  crossaccount curl acme https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod/orders
  crossaccount curl acme -X POST -d @order.json -H 'Content-Type: application/json' https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod/orders
  crossaccount curl acme --service execute-api --region eu-west-1 https://orders.example.com/orders
  crossaccount curl acme 'https://reports.s3.us-east-1.amazonaws.com/?list-type=2'`,
		Args: cobra.ExactArgs(2),
	}
	u.flags(c)
	u.endpointFlag(c)
	f := c.Flags()
	f.StringVarP(&u.method, "request", "X", "", "`method`; GET without data, POST with")
	f.StringVarP(&u.data, "data", "d", "", "body; @FILE is that of a file as it is, line ends too, @- standard input")
	f.StringArrayVarP(&u.headers, "header", "H", nil, "header as `'Name: value'`; may be repeated")
	f.BoolVarP(&u.include, "include", "i", false, "print status and headers too")
	f.BoolVarP(&u.verbose, "verbose", "v", false, "say on standard error what is signed for")
	f.StringVar(&u.service, "service", "", "signing name of the service, such as execute-api, lambda or s3")
	f.StringVar(&u.region, "region", "", "region of the endpoint")
	fixedValues(c, "region", regions...)
	c.RunE = func(c *cobra.Command, args []string) error {
		request, err := u.build(c.Context(), args[1], c.Flags().Changed("data"))
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		if u.region == "" && asksEndpoint(c) { // which does not tell the integration's
			return &exitError{ExitUsage, fmt.Errorf("%s does not say its region; name it with --region", request.URL.Host)}
		}
		return u.use(func(ctx context.Context, from issuer, args []string) error {
			u.request.CustomerID = args[0]
			return u.send(ctx, from, request)
		})(c, args)
	}
	return c
}

// build makes the request and refuses what must not be sent, before any
// credentials are asked for.
func (u *signedCall) build(ctx context.Context, address string, hasData bool) (*http.Request, error) {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.User != nil || target.Scheme != "https" && target.Scheme != "http" {
		return nil, fmt.Errorf("%.200q: must be a URL such as https://…, without a user", address)
	}
	if target.Scheme == "http" && !onThisMachine(target.Hostname()) {
		return nil, errors.New("http: the request and its session could be read on the way; use https")
	}
	scope, ours := scopeOfHost(target.Host)
	if !ours && u.service == "" {
		return nil, fmt.Errorf("%s is not one of AWS's hosts, so nothing was sent; if it belongs to an AWS service, name that with --service", target.Host)
	}
	u.service, u.region = first(u.service, scope.service), first(u.region, scope.region)
	var body io.Reader
	method := first(u.method, http.MethodGet)
	if hasData {
		data, err := u.body()
		if err != nil {
			return nil, err
		}
		body, method = bytes.NewReader(data), first(u.method, http.MethodPost)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, errors.New("the request cannot be made: check the method and the URL")
	}
	request.Header.Set("User-Agent", "crossaccount")
	for _, header := range u.headers {
		name, value, ok := strings.Cut(header, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("-H %.100q: must be 'Name: value'", header)
		}
		if strings.EqualFold(name, "Host") {
			return nil, errors.New("-H Host: the host is that of the URL; it decides where the session goes")
		}
		request.Header.Add(name, strings.TrimSpace(value))
	}
	return request, nil
}

func (u *signedCall) body() ([]byte, error) {
	name, isFile := strings.CutPrefix(u.data, "@")
	if !isFile {
		return []byte(u.data), nil
	}
	in := u.streams.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("-d: %w", err)
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, broker.DefaultSigningBuffer+1))
	if err != nil {
		return nil, fmt.Errorf("-d: %w", err)
	}
	if len(data) > broker.DefaultSigningBuffer {
		return nil, fmt.Errorf("-d: the body is larger than %d bytes", broker.DefaultSigningBuffer)
	}
	return data, nil
}

func (u *signedCall) send(ctx context.Context, from issuer, request *http.Request) error {
	source := newRoleSource(from, u.request, time.Now)
	issued, err := source.issued(ctx)
	if err != nil {
		return err
	}
	region := first(u.region, issued.Region)
	if u.verbose {
		fmt.Fprintf(u.streams.Err, "signing for %s in %s as %s", u.service, region, issued.RoleARN)
		if issued.SessionName != "" { // an endpoint does not tell it
			fmt.Fprintf(u.streams.Err, ", session %s", issued.SessionName)
		}
		fmt.Fprintln(u.streams.Err)
	}
	transport, err := trustingTransport()
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	sender := &http.Client{
		Transport:     broker.NewSigningTransport(transport, source, u.service, region, request.URL.Host),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := sender.Do(request)
	if err != nil {
		return unsent(request.URL.Host, err)
	}
	defer response.Body.Close()
	if u.include {
		fmt.Fprintf(u.streams.Out, "%s %s\n", response.Proto, response.Status)
		names := make([]string, 0, len(response.Header))
		for name := range response.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			for _, value := range response.Header[name] {
				fmt.Fprintf(u.streams.Out, "%s: %s\n", name, value)
			}
		}
		fmt.Fprintln(u.streams.Out)
	}
	if err := copyBody(u.streams.Out, response.Body, onTerminal(u.streams.Out)); err != nil {
		return &exitError{ExitUndetermined, err}
	}
	if response.StatusCode >= http.StatusBadRequest {
		return &exitError{ExitNo, fmt.Errorf("the answer's status is %s", response.Status)}
	}
	return nil
}

// unsent says why there is no answer: there were no credentials, the request cannot
// be signed, or nobody answered.
func unsent(host string, err error) error {
	var refused *broker.Error
	var wrapped *url.Error
	switch {
	case !errors.As(err, &refused) && errors.As(err, &wrapped) && strings.HasPrefix(wrapped.Err.Error(), "broker: "):
		return &exitError{ExitUsage, errors.New(strings.TrimPrefix(wrapped.Err.Error(), "broker: "))} // it was not signed
	case refused == nil:
		return &exitError{ExitUndetermined, fmt.Errorf("%s cannot be reached: %s", host, whyUnreachable(err))}
	case refused.Code == broker.CodeInvalidRequest:
		return &exitError{ExitUsage, errors.New(refused.Message)}
	case refused.Code.Retryable():
		return &exitError{ExitUndetermined, errors.New(refused.Message)}
	}
	return &exitError{ExitNo, errors.New(refused.Message)}
}

// copyBody writes an answer as it is. On a terminal the prompt, or what went wrong,
// begins on a line of its own.
func copyBody(out io.Writer, body io.Reader, terminal bool) error {
	end := &lineEnd{out: out, ended: true}
	_, err := io.Copy(end, body)
	if terminal && !end.ended {
		fmt.Fprintln(out)
	}
	if err != nil && end.err == nil { // of the network, and not of our output
		err = fmt.Errorf("the answer ended too early: %s", whyUnreachable(err))
	}
	return err
}

// lineEnd remembers whether what was written ends a line.
type lineEnd struct {
	out   io.Writer
	ended bool
	err   error
}

func (l *lineEnd) Write(b []byte) (n int, err error) {
	if len(b) > 0 {
		l.ended = b[len(b)-1] == '\n'
	}
	n, l.err = l.out.Write(b)
	return n, l.err
}

// onTerminal reports whether somebody reads what is written as it comes.
func onTerminal(out io.Writer) bool {
	if a, ok := out.(*attentive); ok {
		out = a.Writer
	}
	file, ok := out.(*os.File)
	return ok && terminalWidth(file) > 0
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// trustingTransport is the usual one; it trusts the certificates of AWS_CA_BUNDLE
// alone if that is set, as the SDKs do.
func trustingTransport() (*http.Transport, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	file := os.Getenv("AWS_CA_BUNDLE")
	if file == "" {
		return transport, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s has no certificates in PEM", file)
	}
	transport.TLSClientConfig.RootCAs = pool
	return transport, nil
}
