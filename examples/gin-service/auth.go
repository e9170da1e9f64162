package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
)

// tokens are the access tokens of customers. Replace this file by your own way
// of signing in: the rest of the service needs requireCaller and callerOf only.
//
// Tokens are random and long, so a plain SHA-256 protects them as well as a slow
// password hash would: there is nothing to guess. Only hashes are configured.
type tokens []token

type token struct {
	customerID string
	hash       [sha256.Size]byte
}

// parseTokens reads "customer:hash" pairs separated by commas. A customer may
// have several tokens, so that they can be replaced one after the other.
func parseTokens(text string) (tokens, error) {
	var parsed tokens
	for i, pair := range strings.Split(text, ",") {
		customerID, digits, _ := strings.Cut(strings.TrimSpace(pair), ":")
		hash, err := hex.DecodeString(digits)
		if customerID == "" || err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("CUSTOMER_TOKENS: entry %d must be a customer id, a colon and the SHA-256 of a token in hexadecimal", i+1)
		}
		parsed = append(parsed, token{customerID, [sha256.Size]byte(hash)})
	}
	return parsed, nil
}

// owner returns the customer a token belongs to, or "". It compares with all
// tokens, whichever fits, so that its duration says nothing.
func (t tokens) owner(presented string) (customerID string) {
	hash := sha256.Sum256([]byte(presented))
	for _, known := range t {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			customerID = known.customerID
		}
	}
	return customerID
}

// presentedToken returns the token of a request: a program sends it as a bearer
// token, a browser as the password of HTTP Basic authentication.
func presentedToken(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

type callerKey struct{}

// requireCaller lets only requests of known customers through, and notes whose
// they are.
func (t tokens) requireCaller(c *gin.Context) {
	customerID := t.owner(presentedToken(c.Request))
	if customerID == "" {
		c.Header("WWW-Authenticate", `Basic realm="reports", charset="UTF-8"`)
		fail(c, crossaccount.NewError(codeUnauthenticated, "you are not signed in", "send your access token", nil))
		return
	}
	ctx := context.WithValue(c.Request.Context(), callerKey{}, customerID)
	c.Request = c.Request.WithContext(crossaccount.WithActor(ctx, "customer "+customerID))
}

// callerOf returns the customer whose request it is.
func callerOf(r *http.Request) (string, error) {
	customerID, _ := r.Context().Value(callerKey{}).(string)
	if customerID == "" {
		return "", errors.New("the request has no authenticated caller")
	}
	return customerID, nil
}

// ownID returns the caller's id. If the request names a customer, it must be the
// caller.
func ownID(c *gin.Context, named string) (string, error) {
	customerID, err := callerOf(c.Request)
	if err != nil || named != "" && named != customerID {
		return "", crossaccount.NewError(crossaccount.CodeForbidden, "this is not your customer id", "leave customer_id out, or give your own", nil)
	}
	return customerID, nil
}
