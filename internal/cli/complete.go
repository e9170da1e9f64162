package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

// Limits of completing a word: somebody waits with a finger on the key.
const (
	completeTimeout = 2 * time.Second
	completeMost    = 500
)

// regions are those that accounts have without being asked, and the first one of
// each other partition. The service checks the form only, so others work too.
//
// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
var regions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
	"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
	"us-gov-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1",
}

// completeConfig completes the flags that every setting of the server has.
func completeConfig(c *cobra.Command) {
	for flag, values := range map[string][]string{
		"default-region": regions, "log-level": {"debug", "info", "warn", "error"},
	} {
		if c.Flags().Lookup(flag) != nil {
			fixedValues(c, flag, values...)
		}
	}
	for flag, endings := range map[string][]string{
		"config": {"yaml", "yml", "json"}, "database": {"db"}, "key-file": {"json"}, "tls-certificate-file": {"pem", "crt"}, "tls-key-file": {"pem", "key"},
	} {
		if c.Flags().Lookup(flag) != nil {
			if err := c.MarkFlagFilename(flag, endings...); err != nil {
				panic(err) // the flag was there
			}
		}
	}
}

// customerThenIntegration completes a customer's id and then, if wanted, one of
// its integrations, from the server. Where none is reachable there is nothing to
// complete, and nothing is said.
func (o *operator) customerThenIntegration(both bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return o.known(c, "", func(i *api.Integration) string {
				return cobra.CompletionWithDesc(i.CustomerID, oneLine(i.CustomerName))
			})
		case len(args) == 1 && both:
			return o.known(c, args[0], describedID)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// integrationOfCustomer completes a flag with the integrations of the customer
// who was named before.
func (o *operator) integrationOfCustomer(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.known(c, args[0], describedID)
}

func describedID(i *api.Integration) string {
	return cobra.CompletionWithDesc(i.ID, strings.TrimSpace(string(i.State)+" "+i.AccountID))
}

// oneLine keeps a description from ending the completion.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (o *operator) known(c *cobra.Command, customer string, word func(*api.Integration) string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completeTimeout)
	defer cancel()
	client, closing, err := o.connect(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer func() { _ = closing() }() // nobody could be told
	var words []cobra.Completion
	for integration, err := range client.All(ctx, api.ListRequest{CustomerID: customer, Limit: crossaccount.MaxPage}) {
		if err != nil || len(words) == completeMost {
			break
		}
		if w := word(integration); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
