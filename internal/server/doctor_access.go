package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// tokenWarning is how long before a token ends the doctor begins to say so.
const tokenWarning = 7 * 24 * time.Hour

// access looks at how customers' credentials reach programs.
func (d *doctor) access() {
	if d.config.SharedSessions {
		d.add("shared sessions", CheckOK, "customers' sessions are kept, sealed, in the database", "")
	}
	if d.config.CredentialsListen == "" {
		return
	}
	const name = "credentials endpoint"
	if problem := d.address(); problem != "" {
		d.add(name, CheckWarning, problem, "if no server of yours runs there, choose another address with credentials_listen")
	} else {
		d.add(name, CheckOK, d.config.CredentialsListen+" is free", "")
	}
	if !exists(d.config.CredentialsTokens) {
		d.add(name, CheckWarning, "there are no tokens yet, so nobody gets credentials", "run crossaccount token issue")
		return
	}
	tokens, err := broker.OpenTokens(d.config.CredentialsTokens)
	if err != nil {
		d.add(name, CheckFailed, messageOf(endpointProblem("credentials_tokens", err)), "restore the file, or remove it and issue the tokens anew")
		return
	}
	d.tokens(name, tokens.Records(), time.Now())
}

// tokens says how many tokens work, for how long, and which purposes are gone.
func (d *doctor) tokens(name string, records []broker.TokenRecord, now time.Time) {
	valid := 0
	known := map[string]bool{"": true}
	for _, p := range d.config.Purposes {
		known[p.Name] = true
	}
	for _, r := range records {
		if r.Revoked || !r.ExpiresAt.After(now) {
			continue
		}
		valid++
		if r.ExpiresAt.Sub(now) < tokenWarning {
			d.add(name, CheckWarning, fmt.Sprintf("the token %s of %s works until %s only", r.ID, r.Name, r.ExpiresAt.Format(time.RFC3339)), "issue another one in time")
		}
		for _, purpose := range r.Purposes {
			if !known[purpose] {
				d.add(name, CheckWarning, fmt.Sprintf("the token %s of %s is for the purpose %q, which is none of the configuration's", r.ID, r.Name, purpose), "add the purpose, or revoke the token")
			}
		}
	}
	d.add(name, CheckOK, fmt.Sprintf("%d of %d tokens work", valid, len(records)), "")
}

// address says what is in the way of listening, or "".
func (d *doctor) address() string {
	if strings.HasPrefix(d.config.CredentialsListen, unixPrefix) {
		path := strings.TrimPrefix(d.config.CredentialsListen, unixPrefix)
		there, err := new(net.Dialer).DialContext(d.ctx, "unix", path)
		if err != nil {
			return ""
		}
		_ = there.Close()
		return "somebody listens on " + path + " already"
	}
	listener, err := broker.ListenLoopback(d.ctx, d.config.CredentialsListen)
	if errors.Is(err, context.Canceled) {
		return "could not be tried"
	}
	if err != nil {
		return "somebody listens on " + d.config.CredentialsListen + " already"
	}
	_ = listener.Close() // nobody was accepted
	return ""
}
