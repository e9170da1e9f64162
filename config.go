package crossaccount

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Working defaults.
const (
	DefaultRegion          = "us-east-1"
	DefaultSessionDuration = time.Hour
)

// STS hands out credentials for 15 minutes to 12 hours.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	minSessionDuration = 15 * time.Minute
	maxSessionDuration = 12 * time.Hour
)

// maxServiceName keeps a service name readable in descriptions, which
// CloudFormation limits to 1,024 bytes.
const maxServiceName = 200

// A Config describes the vendor's service. Its zero fields get working
// defaults, except ServiceName and ServiceAccountID, which must be given. New
// copies it; changing it afterwards has no effect.
type Config struct {
	// ServiceName is what customers know the service by: free text. Where AWS
	// allows less, in role names and paths, a shortened form is used.
	ServiceName string `json:"service_name"`

	// ServiceAccountID is the vendor's AWS account, twelve digits. Customers'
	// roles trust it, and roles in it are refused as customers' roles.
	ServiceAccountID string `json:"service_account_id"`

	// AWSConfig holds the vendor's own credentials. If it has no credentials,
	// the SDK's default chain is loaded at first use.
	AWSConfig aws.Config `json:"-"`

	// DefaultRegion is used for launch links and customers' configurations
	// where a request names none, and decides the partition. us-east-1 if
	// empty.
	DefaultRegion string `json:"default_region,omitempty"`

	// TemplateS3Bucket is the vendor's bucket for published templates. Launch
	// links need it.
	TemplateS3Bucket string `json:"template_s3_bucket,omitempty"`

	// SessionDuration is how long credentials for customers' roles live,
	// 15 minutes to 12 hours; one hour if zero. It is cut to one hour where AWS
	// allows no more: when the vendor's own credentials are a role session.
	// JSON takes "1h" or a number of nanoseconds.
	SessionDuration time.Duration `json:"session_duration,omitempty"`

	// ExternalIDPrefix begins every external ID; a short form of ServiceName
	// if empty.
	ExternalIDPrefix string `json:"external_id_prefix,omitempty"`

	// OngoingPermissions are granted as long as the role exists,
	// SetupPermissions only while the stack's SetupPhase is true.
	OngoingPermissions []Permission `json:"ongoing_permissions,omitempty"`
	SetupPermissions   []Permission `json:"setup_permissions,omitempty"`

	// BrandingOptions adapt the customer's pages: logo_url, primary_color,
	// display_name, support_url and privacy_url. Unknown keys are ignored with
	// a warning.
	BrandingOptions map[string]string `json:"branding_options,omitempty"`
}

// A Permission is one statement of what the customer's role may do.
type Permission struct {
	Sid       string                 `json:"sid,omitempty"`
	Effect    string                 `json:"effect,omitempty"` // "Allow" if empty
	Actions   []string               `json:"actions"`
	Resources []string               `json:"resources"`
	Condition map[string]interface{} `json:"condition,omitempty"` // operator -> key -> value or values
}

// configFields has the fields of a Config without its methods.
type configFields Config

// MarshalJSON writes the configuration with its durations as text ("1h0m0s").
func (c Config) MarshalJSON() ([]byte, error) {
	var duration string
	if c.SessionDuration != 0 {
		duration = c.SessionDuration.String()
	}
	return json.Marshal(struct {
		configFields
		SessionDuration string `json:"session_duration,omitempty"`
	}{configFields(c), duration})
}

// UnmarshalJSON reads a configuration. Fields that are absent keep their
// values, AWSConfig always does.
func (c *Config) UnmarshalJSON(data []byte) error {
	fields := configFields(*c)
	in := struct {
		*configFields
		SessionDuration *jsonDuration `json:"session_duration"`
	}{&fields, (*jsonDuration)(&fields.SessionDuration)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*c = Config(fields)
	return nil
}

// A jsonDuration is read from "1h30m" or from a number of nanoseconds.
type jsonDuration time.Duration

func (d *jsonDuration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("duration %q: must be text such as \"1h\" or a number of nanoseconds", clip(text))
		}
		*d = jsonDuration(parsed)
		return nil
	}
	var nanoseconds int64
	if err := json.Unmarshal(data, &nanoseconds); err != nil {
		return fmt.Errorf("duration %s: must be text such as \"1h\" or a number of nanoseconds", clip(string(data)))
	}
	*d = jsonDuration(nanoseconds)
	return nil
}

// Character sets and lengths: bucket names
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
// and external IDs
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
var (
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	colorPattern  = regexp.MustCompile(`^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)
)

// Validate reports everything that is wrong with the configuration in one
// [Error] with the code invalid_config, or nil. It does not change the
// configuration and needs no network.
func (c *Config) Validate() error {
	if c == nil {
		return NewError(CodeInvalidConfig, "configuration: is nil", "pass a *Config with at least service_name and service_account_id", nil)
	}
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	switch name := c.ServiceName; {
	case strings.TrimSpace(name) == "":
		add("service_name: must not be empty; customers see it")
	case strings.ContainsFunc(name, unicode.IsControl):
		add("service_name: must not contain control characters")
	}
	if _, err := iam.ParseAccountID(c.ServiceAccountID); err != nil {
		add("service_account_id: must be the 12 digits of the vendor's AWS account")
	}
	if c.DefaultRegion != "" {
		if _, ok := iam.PartitionOfRegion(c.DefaultRegion); !ok {
			add("default_region %q: is not an AWS region name such as us-east-1", clip(c.DefaultRegion))
		}
	}
	if b := c.TemplateS3Bucket; b != "" && (!bucketPattern.MatchString(b) || strings.Contains(b, "..")) {
		add("template_s3_bucket %q: must be a bucket name, 3 to 63 lower-case letters, digits, dots and hyphens", clip(b))
	}
	if d := c.SessionDuration; d != 0 && (d < minSessionDuration || d > maxSessionDuration) {
		add("session_duration %s: must be from %s to %s", d, minSessionDuration, maxSessionDuration)
	}
	if p := c.ExternalIDPrefix; p != "" && (len(p) > maxExternalIDPrefix || reference.CheckExternalID(p+"xx") != nil) {
		add("external_id_prefix %q: must be at most %d letters, digits and _+=,.@:/-", clip(p), maxExternalIDPrefix)
	}
	if p, ok := iam.PartitionOfRegion(c.AWSConfig.Region); ok && c.DefaultRegion != "" {
		if d, ok := iam.PartitionOfRegion(c.DefaultRegion); ok && d.ID != p.ID {
			add("default_region %s: is in partition %s, but AWSConfig is for %s", c.DefaultRegion, d.ID, c.AWSConfig.Region)
		}
	}
	var permissions findings
	permissions.statements("ongoing_permissions", c.OngoingPermissions)
	permissions.statements("setup_permissions", c.SetupPermissions)
	problems = append(problems, permissions.problems...)
	if len(problems) == 0 {
		return nil
	}
	return NewError(CodeInvalidConfig, "configuration: "+strings.Join(problems, "; "), "", nil)
}

// Keys of Config.BrandingOptions.
const (
	BrandingLogoURL      = "logo_url"
	BrandingPrimaryColor = "primary_color"
	BrandingDisplayName  = "display_name"
	BrandingSupportURL   = "support_url"
	BrandingPrivacyURL   = "privacy_url"
)

var brandingKeys = []string{BrandingLogoURL, BrandingPrimaryColor, BrandingDisplayName, BrandingSupportURL, BrandingPrivacyURL}

// brandingProblems says which of the options we know cannot be used. Links become
// part of pages that customers trust, so only https is let through. What is wrong
// is left out of the pages, with a warning: AWS does not mind.
func brandingProblems(options map[string]string) map[string]string {
	problems := map[string]string{}
	for _, key := range brandingKeys {
		value, ok := options[key]
		if !ok || value == "" {
			continue
		}
		switch key {
		case BrandingPrimaryColor:
			if !colorPattern.MatchString(value) {
				problems[key] = fmt.Sprintf("branding_options.%s %q: must be a color such as #0a7cff", key, clip(value))
			}
		case BrandingDisplayName:
			if len(value) > maxServiceName {
				problems[key] = fmt.Sprintf("branding_options.%s: has %d bytes, at most %d are allowed", key, len(value), maxServiceName)
			}
		default:
			u, err := url.Parse(value)
			if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(value) > 2048 {
				problems[key] = fmt.Sprintf("branding_options.%s %q: must be an https URL", key, clip(value))
			}
		}
	}
	return problems
}

// unknownBranding returns the keys that have no meaning, sorted.
func unknownBranding(options map[string]string) []string {
	var unknown []string
	for key := range options {
		if !slices.Contains(brandingKeys, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// withDefaults returns an independent copy with the defaults filled in.
func (c *Config) withDefaults() Config {
	d := *c
	if d.DefaultRegion == "" {
		d.DefaultRegion = DefaultRegion
		if p, ok := iam.PartitionOfRegion(d.AWSConfig.Region); ok && p.ID != "aws" {
			d.DefaultRegion = d.AWSConfig.Region
		}
	}
	if d.SessionDuration == 0 {
		d.SessionDuration = DefaultSessionDuration
	}
	d.OngoingPermissions = slices.Clone(c.OngoingPermissions)
	d.SetupPermissions = slices.Clone(c.SetupPermissions)
	d.BrandingOptions = make(map[string]string, len(c.BrandingOptions))
	for key, value := range c.BrandingOptions {
		d.BrandingOptions[key] = value
	}
	return d
}

// clip keeps messages readable when somebody sends ten thousand characters.
func clip(s string) string {
	const limit = 100
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
