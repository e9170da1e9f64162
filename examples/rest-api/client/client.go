// Package client calls a REST API with IAM authorization, signed with credentials
// that renew themselves.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A Client calls one API. It is safe for concurrent use.
type Client struct {
	url         string // of the API's stage
	region      string
	credentials aws.CredentialsProvider
	http        aws.HTTPClient
	now         func() time.Time
}

// New returns a client of the API at url, which calls with the credentials of
// config: in Lambda, those of the function's role. With roleARN it assumes that
// role first, and again shortly before a session ends.
func New(config aws.Config, url, roleARN string) *Client {
	provider := config.Credentials
	if roleARN != "" {
		provider = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(config), roleARN), func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = 5 * time.Minute
		})
	}
	doer := config.HTTPClient
	if doer == nil {
		doer = http.DefaultClient
	}
	return &Client{strings.TrimSuffix(url, "/"), config.Region, provider, doer, time.Now}
}

// Call sends a request and returns the answer's status and body.
func (c *Client) Call(ctx context.Context, method, path string, body []byte) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	keys, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return 0, "", fmt.Errorf("credentials for the API: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(sum[:]), "execute-api", c.region, c.now()); err != nil {
		return 0, "", err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, string(data), err
}
