package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/iam"
)

// accessSettings say how customers' roles are used and by whom.
var accessSettings = []Setting{
	boolean("operator_credentials", "let operators get customers' credentials over the API, for exec, curl, login-url and credential-process; an operator token is worth every customer's access then",
		func(c *Config) *bool { return &c.OperatorCredentials }),
	text("credentials_listen", "", "where programs with a token get customers' credentials: 127.0.0.1:PORT for every AWS SDK, or unix:PATH for --endpoint of crossaccount exec and others; nowhere if empty",
		func(c *Config) *string { return &c.CredentialsListen }),
	text("credentials_tokens", "crossaccount-tokens.json", "tokens of crossaccount token; changes count within seconds",
		func(c *Config) *string { return &c.CredentialsTokens }),
	{
		Key: "sts_regions", Environment: "CROSSACCOUNT_STS_REGIONS", Flag: "sts-regions",
		Help: "regions whose STS is used, separated by commas, the usual one first; a second one takes over when the first is in trouble; service.default_region if empty",
		set: func(c *Config, s string) error {
			c.STSRegions = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
			return nil
		},
		get: func(c *Config) string { return strings.Join(c.STSRegions, ",") },
	},
	{
		Key: "sts_rate", Environment: "CROSSACCOUNT_STS_RATE", Flag: "sts-rate", Default: "300",
		Help: "most calls of STS per second and region; AWS allows 600 for everything in the account together",
		set: func(c *Config, s string) (err error) {
			c.STSRate, err = strconv.ParseFloat(s, 64)
			if err != nil || !(c.STSRate >= 1 && c.STSRate <= 100_000) { // also NaN
				return errors.New("must be a number of at least 1, such as 300")
			}
			return nil
		},
		get: func(c *Config) string { return strconv.FormatFloat(c.STSRate, 'f', -1, 64) },
	},
	{
		Key: "withdrawal", Environment: "CROSSACCOUNT_WITHDRAWAL", Flag: "withdrawal", Default: "stop",
		Help: "what becomes of valid credentials when a customer withdraws its trust: stop using them, or drain (use them until they expire)",
		set: func(c *Config, s string) error {
			withdrawals := map[string]broker.Withdrawal{"stop": broker.Stop, "drain": broker.Drain}
			withdrawal, ok := withdrawals[s]
			if !ok {
				return errors.New("must be stop or drain")
			}
			c.Withdrawal = withdrawal
			return nil
		},
		get: func(c *Config) string {
			if c.Withdrawal == broker.Drain {
				return "drain"
			}
			return "stop"
		},
	},
	boolean("shared_sessions", "keep customers' sessions, sealed, in the database, so that all processes that use it share them and restart warm; whoever has it and the keys has every customer's access for an hour",
		func(c *Config) *bool { return &c.SharedSessions }),
}

// parsePurposes reads the purposes of the configuration file:
//
//	purposes:
//	  inventory:
//	    policy: {Version: "2012-10-17", Statement: […]}
//	    policy_arns: [arn:aws:iam::aws:policy/ReadOnlyAccess]
func parsePurposes(value any) ([]broker.Purpose, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("purposes: must be an object with the name of each purpose")
	}
	var purposes []broker.Purpose
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := "purposes." + name
		if name == "" || name == "-" { // "-" is the whole role in paths of the endpoint
			return nil, fmt.Errorf("purposes: %q cannot be the name of one", name)
		}
		fields, ok := object[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: must be an object with policy or policy_arns", at)
		}
		purpose := broker.Purpose{Name: name}
		for field, value := range fields {
			switch field {
			case "policy":
				switch policy := value.(type) {
				case string:
					purpose.Policy = policy
				case map[string]any:
					data, err := json.Marshal(policy)
					if err != nil {
						return nil, fmt.Errorf("%s.policy: %w", at, err)
					}
					purpose.Policy = string(data)
				default:
					return nil, fmt.Errorf("%s.policy: must be a policy document", at)
				}
			case "policy_arns":
				list, ok := value.([]any)
				for _, item := range list {
					arn, isText := item.(string)
					ok = ok && isText
					purpose.PolicyARNs = append(purpose.PolicyARNs, arn)
				}
				if !ok {
					return nil, fmt.Errorf("%s.policy_arns: must be a list of ARNs", at)
				}
			default:
				return nil, fmt.Errorf("%s.%s: is no setting; a purpose has policy and policy_arns", at, field)
			}
		}
		if purpose.Policy == "" && len(purpose.PolicyARNs) == 0 {
			return nil, fmt.Errorf("%s: has neither policy nor policy_arns, so it would narrow nothing", at)
		}
		purposes = append(purposes, purpose)
	}
	return purposes, nil
}

// checkAccess refuses what the broker or the endpoint would refuse later.
func (c *Config) checkAccess() error {
	if c.CredentialsListen != "" {
		if path, unix := strings.CutPrefix(c.CredentialsListen, unixPrefix); unix && path == "" || !unix && !isLoopbackAddress(c.CredentialsListen) {
			return invalid(fmt.Sprintf("credentials_listen %.100q: credentials are handed out on this machine only", c.CredentialsListen),
				"use 127.0.0.1:PORT, [::1]:PORT or unix:PATH")
		}
		if c.CredentialsTokens == "" {
			return invalid("credentials_tokens: must name a file", "")
		}
	}
	// The broker knows the rules of session policies and regions.
	region, _ := c.Service["default_region"].(string)
	if _, ok := iam.PartitionOfRegion(region); !ok {
		region = crossaccount.DefaultRegion // the client says what is wrong with it
	}
	made := broker.Config{AWSConfig: aws.Config{Region: region, Credentials: aws.AnonymousCredentials{}}, Regions: c.STSRegions} // nobody is called
	if err := made.Validate(); err != nil {
		return invalid("sts_regions: "+strings.TrimPrefix(err.Error(), "broker: "), "")
	}
	made.Purposes = c.Purposes
	if err := made.Validate(); err != nil {
		return invalid("purposes: "+strings.TrimPrefix(err.Error(), "broker: "), "")
	}
	return nil
}

// unixPrefix begins credentials_listen if it is a socket.
const unixPrefix = "unix:"

// isLoopbackAddress is what [broker.ListenLoopback] accepts.
func isLoopbackAddress(address string) bool {
	parsed, err := netip.ParseAddrPort(address)
	return err == nil && parsed.Addr().IsLoopback() && parsed.Addr().Zone() == ""
}

// accessOptions are the client's.
func (c *Config) accessOptions() []crossaccount.Option {
	options := []crossaccount.Option{crossaccount.WithPurposes(c.Purposes...), crossaccount.WithSTSRate(c.STSRate), crossaccount.WithWithdrawal(c.Withdrawal)}
	if len(c.STSRegions) > 0 {
		options = append(options, crossaccount.WithSTSRegions(c.STSRegions...))
	}
	return options
}

func boolean(key, help string, field func(*Config) *bool) Setting {
	return Setting{
		Key: key, Environment: environment(key), Flag: strings.ReplaceAll(key, "_", "-"), Default: "false", Help: help, Switch: true,
		set: func(c *Config, s string) (err error) {
			if *field(c), err = strconv.ParseBool(s); err != nil {
				return errors.New("must be true or false")
			}
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}
