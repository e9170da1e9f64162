package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
)

// ConfigFile is read if no other file is named and it exists.
const ConfigFile = "server.yaml"

// A Config says how the server runs. It is read by [ReadConfig]; docs/operating.md
// has the table of all settings.
type Config struct {
	// Listen is host:port. Beyond the loopback interface an operator token is
	// needed.
	Listen string

	// PublicURL is where customers' browsers reach the server, for setup links.
	// Without it links are made only while the server listens on loopback.
	PublicURL string

	// Database is the path of the SQLite file, KeyFile that of the keys that seal
	// what is secret in it. Both are made at the first start.
	Database, KeyFile string

	// Keys is the content of a key file, instead of KeyFile. It comes from the
	// environment only.
	Keys string

	// OperatorToken lets operators in. It comes from the environment or from
	// OperatorTokenFile, never from the configuration file or a flag.
	OperatorToken, OperatorTokenFile string

	// TLSCertificateFile and TLSKeyFile make the server speak TLS.
	TLSCertificateFile, TLSKeyFile string

	// AssumeBrokerRole makes the server assume service.broker_role_arn with the
	// ambient credentials, for processes that do not run as that role already.
	AssumeBrokerRole bool

	// Purposes are what customers' roles are used for, each with a session policy
	// that narrows it. They are in the file only.
	Purposes []broker.Purpose

	// STSRegions, STSRate (calls per second and region) and Withdrawal are the
	// broker's. SharedSessions keeps sessions, sealed, in the database.
	STSRegions     []string
	STSRate        float64
	Withdrawal     broker.Withdrawal
	SharedSessions bool

	// OperatorCredentials lets operators get credentials over the API.
	OperatorCredentials bool

	// CredentialsListen is where programs get credentials, a loopback address or
	// unix:PATH, nowhere if empty; CredentialsTokens is the file of their tokens.
	CredentialsListen, CredentialsTokens string

	// LogLevel is debug, info, warn or error.
	LogLevel slog.Level

	// ShutdownTimeout is how long requests and verifications may go on after the
	// server was told to stop.
	ShutdownTimeout time.Duration

	// Service is the vendor's service: the fields of [crossaccount.ParseConfig].
	Service map[string]any
}

// A Setting is one value of the configuration and where it can come from. Later
// ones win: default, file, environment, flag.
type Setting struct {
	Key         string // in the configuration file
	Environment string // variable; empty if there is none
	Flag        string // of serve and doctor; empty if there is none
	Default     string
	Help        string
	Switch      bool // true or false, so that the flag alone means true

	set func(*Config, string) error
	get func(*Config) string
}

// Settings returns all settings with plain values, in the order of the manual.
// Permissions, tags and branding are in the file only, under service.
func Settings() []Setting { return slices.Clone(settings) }

var settings = append([]Setting{
	text("listen", "127.0.0.1:8080", "host:port to listen on; beyond loopback an operator token is needed", func(c *Config) *string { return &c.Listen }),
	text("public_url", "", "where customers' browsers reach the server, such as https://connect.example.com; setup links begin with it", func(c *Config) *string { return &c.PublicURL }),
	text("database", "crossaccount.db", "SQLite file, made with mode 0600 at the first start", func(c *Config) *string { return &c.Database }),
	text("key_file", "crossaccount-keys.json", "keys that seal external IDs, made with mode 0600 at the first start; back it up apart from the database", func(c *Config) *string { return &c.KeyFile }),
	environmentOnly("CROSSACCOUNT_KEYS", "content of a key file, instead of key_file", func(c *Config) *string { return &c.Keys }),
	text("operator_token_file", "", "file with the operator token", func(c *Config) *string { return &c.OperatorTokenFile }),
	environmentOnly("CROSSACCOUNT_OPERATOR_TOKEN", "the operator token itself, instead of operator_token_file", func(c *Config) *string { return &c.OperatorToken }),
	text("tls_certificate_file", "", "certificate chain in PEM; with tls_key_file the server speaks TLS", func(c *Config) *string { return &c.TLSCertificateFile }),
	text("tls_key_file", "", "private key in PEM", func(c *Config) *string { return &c.TLSKeyFile }),
	boolean("assume_broker_role", "assume service.broker_role_arn with the ambient credentials; leave it false if the process runs as that role",
		func(c *Config) *bool { return &c.AssumeBrokerRole }),
	{
		Key: "log_level", Environment: "CROSSACCOUNT_LOG_LEVEL", Flag: "log-level", Default: "info", Help: "debug, info, warn or error",
		set: func(c *Config, s string) error {
			if !slices.Contains([]string{"debug", "info", "warn", "error"}, s) {
				return errors.New("must be debug, info, warn or error")
			}
			return c.LogLevel.UnmarshalText([]byte(s))
		},
		get: func(c *Config) string { return strings.ToLower(c.LogLevel.String()) },
	},
	{
		Key: "shutdown_timeout", Environment: "CROSSACCOUNT_SHUTDOWN_TIMEOUT", Flag: "shutdown-timeout", Default: "20s",
		Help: "how long requests and verifications may go on after the server was told to stop",
		set: func(c *Config, s string) error {
			d, err := time.ParseDuration(s)
			if err != nil || d < 0 || d > 10*time.Minute {
				return errors.New("must be a duration from 0s to 10m, such as 20s")
			}
			c.ShutdownTimeout = d
			return nil
		},
		get: func(c *Config) string { return c.ShutdownTimeout.String() },
	},
}, slices.Concat(accessSettings, serviceSettings)...)

// serviceSettings are those of the vendor's service that are often set by the
// environment. The root package checks them.
var serviceSettings = []Setting{
	service("service_name", "", "what customers know the service by"),
	service("service_account_id", "", "the vendor's AWS account, twelve digits"),
	service("default_region", crossaccount.DefaultRegion, "region of launch links; decides the partition"),
	service("template_s3_bucket", "", "the vendor's bucket for templates; launch links need it"),
	service("external_id_prefix", "", "beginning of external IDs; a short form of the service's name if empty"),
	service("session_duration", crossaccount.DefaultSessionDuration.String(), "how long credentials for customers' roles live"),
	service("broker_role_arn", "", "the vendor's role that assumes customers' roles; templates trust it alone"),
	service("probe_role_arn", "", "the vendor's role that makes the calls which must be refused; assumed with the ambient credentials"),
	service("canary_role_arn", "", "the vendor's role without external ID that the probe must be able to assume"),
	service("permissions_boundary", "", "permissions boundary of the customers' roles"),
	service("presigned_templates", "", "put presigned URLs that work so long into launch links; not at all if empty"),
	service("patience", "20s", "how long one verification waits for a role that may be new"),
	service("pending_for", "168h", "how long a customer may take to complete an onboarding"),
}

func environment(key string) string { return "CROSSACCOUNT_" + strings.ToUpper(key) }

func text(key, value, help string, field func(*Config) *string) Setting {
	return Setting{
		Key: key, Environment: environment(key), Flag: strings.ReplaceAll(key, "_", "-"), Default: value, Help: help,
		set: func(c *Config, s string) error { *field(c) = s; return nil },
		get: func(c *Config) string { return *field(c) },
	}
}

func environmentOnly(name, help string, field func(*Config) *string) Setting {
	return Setting{
		Environment: name, Help: help,
		set: func(c *Config, s string) error { *field(c) = s; return nil },
		get: func(c *Config) string { return *field(c) },
	}
}

// service is a setting of the vendor's service. Its default is the root
// package's and shown only.
func service(key, value, help string) Setting {
	return Setting{
		Key: "service." + key, Environment: environment(key), Flag: strings.ReplaceAll(key, "_", "-"), Default: value, Help: help,
		set: func(c *Config, s string) error {
			if s == "" {
				delete(c.Service, key)
			} else {
				c.Service[key] = s
			}
			return nil
		},
		get: func(c *Config) string {
			s, _ := c.Service[key].(string)
			return s
		},
	}
}

// A Source is where [ReadConfig] reads from.
type Source struct {
	File   string                      // JSON or YAML; [ConfigFile] if empty, and then it need not exist
	Lookup func(string) (string, bool) // the environment, usually [os.LookupEnv]
	Flags  map[string]string           // the flags that were given
}

// ReadConfig reads the configuration and checks what can be checked without
// opening anything. Values from the environment that are set but empty count as
// given.
func ReadConfig(source Source) (*Config, error) {
	c := &Config{Service: map[string]any{}}
	for _, s := range settings {
		if s.Default != "" && !strings.HasPrefix(s.Key, "service.") {
			if err := s.set(c, s.Default); err != nil {
				return nil, fmt.Errorf("default of %s: %w", s.Key, err)
			}
		}
	}
	if err := c.readFile(source.File); err != nil {
		return nil, err
	}
	for _, s := range settings {
		if value, given := source.Lookup(s.Environment); given && s.Environment != "" {
			if err := s.set(c, value); err != nil {
				return nil, invalid(s.Environment+": "+err.Error(), "")
			}
		}
	}
	for _, s := range settings {
		if value, given := source.Flags[s.Flag]; given && s.Flag != "" {
			if err := s.set(c, value); err != nil {
				return nil, invalid("--"+s.Flag+": "+err.Error(), "")
			}
		}
	}
	if err := c.readToken(); err != nil {
		return nil, err
	}
	return c, c.check()
}

const maxConfigSize = 4 << 20 // bytes

func (c *Config) readFile(name string) error {
	named := name != ""
	if !named {
		name = ConfigFile
	}
	file, err := os.Open(name)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return invalid("configuration: "+err.Error(), "")
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfigSize+1))
	switch {
	case err != nil:
		return invalid("configuration: "+err.Error(), "")
	case len(data) > maxConfigSize:
		return invalid(fmt.Sprintf("%s: is larger than %d bytes", name, maxConfigSize), "")
	}
	if data, err = ReadDocument(name, data); err != nil {
		return invalid(name+": "+err.Error(), "")
	}
	if err := c.parse(data); err != nil {
		return invalid(name+": "+err.Error(), "")
	}
	return nil
}

// parse reads a JSON object whose keys are those of the settings.
func (c *Config) parse(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return errors.New("must be an object with the keys of the manual")
	}
	for key, value := range object {
		if key == "service" {
			service, ok := value.(map[string]any)
			if !ok {
				return errors.New("service: must be an object")
			}
			c.Service = service
			continue
		}
		if key == "purposes" {
			purposes, err := parsePurposes(value)
			if err != nil {
				return err
			}
			c.Purposes = purposes
			continue
		}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key && key != "" })
		if i < 0 {
			if key == "operator_token" || key == "keys" {
				return fmt.Errorf("%s: secrets do not belong into this file; use a file of their own or the environment", key)
			}
			return fmt.Errorf("%.100q: is no setting; crossaccount serve --help lists them", key)
		}
		switch v := value.(type) {
		case string, bool, json.Number:
			if err := settings[i].set(c, fmt.Sprint(v)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		case []any:
			if key != "sts_regions" {
				return fmt.Errorf("%s: must be a plain value", key)
			}
			var list []string
			for _, item := range v {
				list = append(list, fmt.Sprint(item))
			}
			c.STSRegions = list
		default:
			return fmt.Errorf("%s: must be a plain value", key)
		}
	}
	return nil
}

func (c *Config) readToken() error {
	if c.OperatorToken != "" || c.OperatorTokenFile == "" {
		return nil
	}
	data, err := os.ReadFile(c.OperatorTokenFile)
	if err != nil {
		return invalid("operator_token_file: "+err.Error(), "")
	}
	if c.OperatorToken = strings.TrimSpace(string(data)); c.OperatorToken == "" {
		return invalid("operator_token_file: the file is empty", "write a long random text into it, such as the output of openssl rand -hex 32")
	}
	return nil
}

// check refuses what could not work or would be open to everybody.
func (c *Config) check() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return invalid(fmt.Sprintf("listen %.100q: must be host:port, such as 127.0.0.1:8080", c.Listen), "")
	}
	switch {
	case !isLoopback(host) && c.OperatorToken == "":
		return invalid(fmt.Sprintf("listen %s: others could reach this address, and without an operator token everybody may do everything", c.Listen),
			"set CROSSACCOUNT_OPERATOR_TOKEN or operator_token_file to a long random text, such as the output of openssl rand -hex 32, or listen on 127.0.0.1")
	case c.PublicURL != "" && !isBaseURL(c.PublicURL):
		return invalid(fmt.Sprintf("public_url %.200q: must be a URL such as https://connect.example.com, without user, query and fragment", c.PublicURL), "")
	case c.Database == "":
		return invalid("database: must name a file", "")
	case c.KeyFile == "" && c.Keys == "":
		return invalid("key_file: must name a file, or CROSSACCOUNT_KEYS must be set", "")
	case (c.TLSCertificateFile == "") != (c.TLSKeyFile == ""):
		return invalid("tls_certificate_file and tls_key_file: one is missing", "give both, or none")
	}
	return c.checkAccess()
}

// Warnings returns what is unwise about the configuration.
func (c *Config) Warnings() (warnings []string) {
	host, _, _ := net.SplitHostPort(c.Listen)
	if !isLoopback(host) && c.TLSCertificateFile == "" {
		warnings = append(warnings, "the server is reachable by others and does not speak TLS: tokens can be read on the way unless a proxy in front of it does")
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		warnings = append(warnings, "public_url is not https: setup links and what customers are shown can be read on the way")
	}
	if c.OperatorToken != "" && len(c.OperatorToken) < 24 {
		warnings = append(warnings, "the operator token is short enough to be guessed; use the output of openssl rand -hex 32")
	}
	if c.OperatorToken == "" {
		warnings = append(warnings, "there is no operator token: everybody on this machine may do everything")
	}
	if c.OperatorCredentials && c.OperatorToken == "" {
		warnings = append(warnings, "operator_credentials without an operator token: everybody on this machine can have every customer's access")
	}
	if info, err := os.Stat(c.OperatorTokenFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		warnings = append(warnings, "others on this machine can read the operator token's file; run chmod o= on it")
	}
	return warnings
}

// parseService returns the vendor's service.
func (c *Config) parseService() (*crossaccount.Config, []crossaccount.Option, error) {
	data, err := json.Marshal(c.Service)
	if err != nil {
		return nil, nil, invalid("service: "+err.Error(), "")
	}
	return crossaccount.ParseConfig(data)
}

// isBaseURL reports whether a path can be appended to a URL.
func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.RawQuery == "" && !strings.ContainsAny(text, "?#")
}

// isLoopback reports whether only this machine can reach the host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func invalid(message, remedy string) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, message, remedy, nil)
}
