package broker

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Config returns a copy of the broker's own AWS configuration with this handle's
// credentials and the region, "" for the home region. All of them share one HTTP
// client. When AWS says that the credentials have expired, they are invalidated
// and the SDK tries again with others.
func (h *Handle) Config(region string) aws.Config {
	return h.ConfigFollowing(region, h, func() *Handle { return h })
}

// ConfigFollowing is Config for a provider that takes its credentials from one
// handle after the other. current returns the one it uses now.
func (h *Handle) ConfigFollowing(region string, provider aws.CredentialsProvider, current func() *Handle) aws.Config {
	if region == "" {
		region = h.broker.config.Regions[0]
	}
	c := h.broker.config.AWSConfig.Copy()
	// Not through config.WithCredentialsProvider, which would put a cache around
	// the handle.
	c.Credentials = provider
	c.Region = region
	inner := c.Retryer
	if inner == nil {
		inner = usualRetryer(c.RetryMode, c.RetryMaxAttempts)
	}
	c.Retryer = func() aws.Retryer { return newInvalidating(inner(), current) }
	return c
}

// usualRetryer makes what the SDK would if the configuration had no retryer.
func usualRetryer(mode aws.RetryMode, attempts int) func() aws.Retryer {
	standard := func(o *retry.StandardOptions) {
		if attempts > 0 {
			o.MaxAttempts = attempts
		}
	}
	if mode == aws.RetryModeAdaptive {
		return func() aws.Retryer {
			return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, standard)
			})
		}
	}
	return func() aws.Retryer { return retry.NewStandard(standard) }
}

// invalidating is a retryer that drops credentials AWS calls expired.
type invalidating struct {
	aws.RetryerV2
	current func() *Handle
}

func newInvalidating(inner aws.Retryer, current func() *Handle) aws.RetryerV2 {
	v2, ok := inner.(aws.RetryerV2)
	if !ok {
		v2 = attemptless{inner}
	}
	return &invalidating{v2, current}
}

// IsErrorRetryable implements [aws.Retryer].
//
// The retryer is not told which credentials the attempt had. Those at hand are
// taken to be they, unless they are so new that they cannot be.
func (r *invalidating) IsErrorRetryable(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidAccessKeyId":
			h := r.current().successor()
			s, now := h.current.Load(), h.broker.clock.now()
			if s == nil {
				return true
			}
			if now-s.issued() < int64(10*time.Second) {
				return false
			}
			h.Invalidate(s.accessKeyID())
			return true
		}
	}
	return r.RetryerV2.IsErrorRetryable(err)
}

// attemptless makes a RetryerV2 of what is none.
type attemptless struct{ aws.Retryer }

func (a attemptless) GetAttemptToken(context.Context) (func(error) error, error) {
	return a.GetInitialToken(), nil
}

// sharedClient returns the HTTP client for STS and for all configurations.
//
// The SDK's own client is of a kind of which every service client makes a copy
// with connections of its own. A plain one is shared: a thousand S3 clients of
// a thousand customers have one pool.
func sharedClient(given aws.HTTPClient) aws.HTTPClient {
	buildable, ok := given.(*awshttp.BuildableClient)
	if given == nil {
		buildable, ok = awshttp.NewBuildableClient(), true
	}
	if !ok {
		return given
	}
	transport := buildable.GetTransport()
	transport.MaxIdleConnsPerHost = max(transport.MaxIdleConnsPerHost, 64)
	transport.MaxIdleConns = max(transport.MaxIdleConns, 512)
	return &http.Client{Transport: transport, Timeout: buildable.GetTimeout(), CheckRedirect: repeatable}
}

// repeatable follows only redirects that repeat the method and body, as the
// SDK's own client does.
func repeatable(r *http.Request, _ []*http.Request) error {
	if r.Response != nil && (r.Response.StatusCode == http.StatusTemporaryRedirect || r.Response.StatusCode == http.StatusPermanentRedirect) {
		return nil
	}
	return http.ErrUseLastResponse
}

// newRegion makes the client of one STS endpoint. Regional endpoints are used
// always: the global one is one region, too.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-sts-regionalized-endpoints.html
func newRegion(c *Config, index int) *region {
	return &region{
		name: c.Regions[index],
		home: index == 0,
		pace: newPace(c.MaxPerSecond), answers: map[Code]uint64{},
		client: sts.NewFromConfig(c.AWSConfig, func(o *sts.Options) {
			o.Region = c.Regions[index]
			o.Retryer = aws.NopRetryer{} // the broker decides, and retries do not multiply
		}),
	}
}
