package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/iam"
)

// Bounds of a console session's length, and for how long a sign-in URL works.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_enable-console-custom-url.html
const (
	minConsoleSession = 15 * time.Minute
	maxConsoleSession = 12 * time.Hour
	signInWorksFor    = 15 * time.Minute
)

// signInEndpoints are where sign-in tokens come from, by partition. Where the
// console is not public there is none.
var signInEndpoints = map[string]string{
	"aws":        "https://signin.aws.amazon.com/federation",
	"aws-cn":     "https://signin.amazonaws.cn/federation",
	"aws-us-gov": "https://signin.amazonaws-us-gov.com/federation",
}

// A consoleLogin is one sign-in URL.
type consoleLogin struct {
	roleUser
	destination, region, endpoint, issuer string
	duration                              time.Duration
}

// loginURL is what is printed.
type loginURL struct {
	URL       string    `json:"url"`
	WorksFor  string    `json:"works_for"`
	AccountID string    `json:"account_id,omitempty"`
	RoleARN   string    `json:"role_arn"`
	Purpose   string    `json:"purpose,omitempty"`
	ExpiresAt time.Time `json:"expires_at"` // of the credentials
}

func newLoginURL(streams Streams) *cobra.Command {
	u := &consoleLogin{roleUser: roleUser{operator: operator{streams: streams}}}
	c := &cobra.Command{
		Use:   "login-url CUSTOMER",
		Short: "Make a URL that opens AWS's console in a customer's account",
		Long: `Make a URL that opens AWS's console as the customer's role, with what the role (and
--purpose) may do and nothing more. The URL signs in whoever opens it, within 15
minutes: it is a secret. The customer's CloudTrail shows the sign-in under the
session's name.

--destination is a page of the console: a service such as s3, a path such as
/cloudwatch/home, or a URL of the console itself.

The console's session ends with the credentials, usually after an hour. --duration
asks for up to 12h, which AWS refuses when our own credentials are a role's.

The session is sent to AWS's sign-in endpoint for the role's partition and nowhere
else.

` + whereFrom + `

Exit code 0 if AWS gave a sign-in token, 1 if it or the access was refused, 3 if
trying again may help.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_enable-console-custom-url.html`,
		Example: `  crossaccount login-url acme
  crossaccount login-url acme --purpose inventory --destination s3
  xdg-open "$(crossaccount login-url acme --destination /cloudwatch/home --region eu-west-1)"`,
		Args: cobra.ExactArgs(1),
	}
	u.flags(c)
	u.endpointFlag(c)
	f := c.Flags()
	f.StringVar(&u.destination, "destination", "", "`page` of the console; its home if not given")
	f.StringVar(&u.region, "region", "", "region the page is opened in; that of the integration if not given")
	f.DurationVar(&u.duration, "duration", 0, "length of the console's session, 15m to 12h; that of the credentials if not given")
	f.StringVar(&u.issuer, "issuer", "", "`URL` that the console offers when the session has ended")
	f.StringVar(&u.endpoint, "sign-in-endpoint", "", "`URL` of another sign-in endpoint than AWS's; the session is sent to it")
	f.BoolVar(&u.json, "json", false, "print the result as JSON")
	fixedValues(c, "region", regions...)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := u.check(); err != nil {
			return &exitError{ExitUsage, err}
		}
		return u.use(func(ctx context.Context, from issuer, args []string) error {
			u.request.CustomerID = args[0]
			return u.login(ctx, from)
		})(c, args)
	}
	return c
}

func (u *consoleLogin) check() error {
	if u.duration != 0 && (u.duration < minConsoleSession || u.duration > maxConsoleSession) {
		return errors.New("--duration: must be from 15m to 12h")
	}
	if u.region != "" {
		if _, ok := iam.PartitionOfRegion(u.region); !ok {
			return fmt.Errorf("--region %.40q: is not a region", u.region)
		}
	}
	if u.endpoint == "" {
		// Sessions of a sandbox, or of whatever stands in for AWS, are not for AWS.
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"} {
			if os.Getenv(name) != "" {
				return fmt.Errorf("%s is set, so the session may not be AWS's: name its sign-in endpoint with --sign-in-endpoint, or unset %s", name, name)
			}
		}
	}
	for flag, value := range map[string]string{"--sign-in-endpoint": u.endpoint, "--issuer": u.issuer} {
		if value == "" {
			continue
		}
		parsed, err := url.Parse(value)
		if err != nil || parsed.Host == "" || parsed.User != nil || parsed.Scheme != "https" && !(parsed.Scheme == "http" && onThisMachine(parsed.Hostname())) {
			return fmt.Errorf("%s %.200q: must be an https URL", flag, value)
		}
	}
	return nil
}

// page returns the URL of the console's page.
func (u *consoleLogin) page(partition iam.Partition, region string) (string, error) {
	base := url.URL{Scheme: "https", Host: partition.ConsoleDomain, Path: "/"}
	d := u.destination
	switch {
	case d == "":
		base.Path = "/console/home"
	case strings.HasPrefix(d, "https://"):
		parsed, err := url.Parse(d)
		if err != nil || parsed.User != nil || parsed.Port() != "" || parsed.Hostname() != partition.ConsoleDomain && !strings.HasSuffix(parsed.Hostname(), "."+partition.ConsoleDomain) {
			return "", fmt.Errorf("--destination %.200q: is not a page of the console at %s", d, partition.ConsoleDomain)
		}
		return d, nil
	case strings.HasPrefix(d, "/") && !strings.HasPrefix(d, "//"):
		parsed, err := url.Parse(d)
		if err != nil {
			return "", fmt.Errorf("--destination %.200q: is not a path", d)
		}
		base.Path, base.RawPath, base.RawQuery, base.Fragment = parsed.Path, parsed.RawPath, parsed.RawQuery, parsed.Fragment
	case strings.Trim(d, "abcdefghijklmnopqrstuvwxyz0123456789-") == "":
		base.Path = "/" + d + "/home"
	default:
		return "", fmt.Errorf("--destination %.200q: must be a service such as s3, a path such as /cloudwatch/home, or a page of the console", d)
	}
	if base.RawQuery == "" && region != "" {
		base.RawQuery = "region=" + region
	}
	return base.String(), nil
}

func (u *consoleLogin) login(ctx context.Context, from issuer) error {
	issued, err := from.Credentials(ctx, &u.request)
	if err != nil {
		return err
	}
	role, err := iam.ParseRoleARN(issued.RoleARN)
	if err != nil {
		return &exitError{ExitInternal, err}
	}
	i := slices.IndexFunc(iam.Partitions(), func(p iam.Partition) bool { return p.ID == role.Partition })
	endpoint := first(u.endpoint, signInEndpoints[role.Partition])
	if i < 0 || iam.Partitions()[i].ConsoleDomain == "" || endpoint == "" {
		return &exitError{ExitUsage, fmt.Errorf("the partition %s has no public console", role.Partition)}
	}
	page, err := u.page(iam.Partitions()[i], first(u.region, issued.Region))
	if err != nil {
		return &exitError{ExitUsage, err}
	}
	token, err := u.signInToken(ctx, endpoint, issued)
	if err != nil {
		return err
	}
	query := url.Values{"Action": {"login"}, "Destination": {page}, "SigninToken": {token}}
	if u.issuer != "" {
		query.Set("Issuer", u.issuer)
	}
	made := loginURL{
		URL: endpoint + "?" + query.Encode(), WorksFor: signInWorksFor.String(), AccountID: issued.AccountID,
		RoleARN: issued.RoleARN, Purpose: issued.Purpose, ExpiresAt: issued.ExpiresAt,
	}
	if !u.json {
		fmt.Fprintf(u.streams.Err, "Whoever opens this within 15 minutes is %s until %s:\n", issued.RoleARN, issued.ExpiresAt.Format(time.RFC3339))
	}
	return u.result(made, func(w io.Writer) { fmt.Fprintln(w, made.URL) })
}

// signInToken exchanges a session for a token. The session is in the body, where no
// log of URLs has it.
func (u *consoleLogin) signInToken(ctx context.Context, endpoint string, issued *api.Credentials) (string, error) {
	session, err := json.Marshal(map[string]string{
		"sessionId": issued.AccessKeyID, "sessionKey": issued.SecretAccessKey, "sessionToken": issued.SessionToken,
	})
	if err != nil {
		return "", err
	}
	form := url.Values{"Action": {"getSigninToken"}, "Session": {string(session)}}
	if u.duration != 0 {
		form.Set("SessionDuration", strconv.Itoa(int(u.duration/time.Second)))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", &exitError{ExitInternal, errors.New("the request for a sign-in token cannot be made")}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport, err := trustingTransport()
	if err != nil {
		return "", &exitError{ExitUsage, err}
	}
	sender := &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the session goes nowhere else
	}
	response, err := sender.Do(request)
	if err != nil {
		return "", crossaccount.NewError(crossaccount.CodeAWS, "the sign-in endpoint "+request.URL.Host+" cannot be reached", "try again later", err)
	}
	defer response.Body.Close()
	var answer struct{ SigninToken string }
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(data, &answer)
	}
	switch {
	case response.StatusCode >= http.StatusInternalServerError, response.StatusCode == http.StatusTooManyRequests:
		return "", crossaccount.NewError(crossaccount.CodeAWS, "the sign-in endpoint answered with status "+response.Status, "try again later", nil)
	case response.StatusCode == http.StatusBadRequest && u.duration != 0:
		return "", &exitError{ExitNo, errors.New("AWS refused the session; leave out --duration, which it does not accept when our own credentials are a role's")}
	case response.StatusCode != http.StatusOK || err != nil || answer.SigninToken == "":
		return "", &exitError{ExitNo, fmt.Errorf("AWS gave no sign-in token; it answered with status %s", response.Status)}
	}
	return answer.SigninToken, nil
}
