package server

import (
	"context"
	"log/slog"

	"github.com/crossaccount/crossaccount"
)

// A TemplateBucket is the vendor's bucket for templates as its administrator sees
// it: with the credentials of this process, whichever role the server uses.
type TemplateBucket struct {
	Name, Region, AccountID string

	client *crossaccount.Client
}

// NewTemplateBucket returns the bucket of the configuration. It asks AWS nothing.
func NewTemplateBucket(ctx context.Context, config *Config) (*TemplateBucket, error) {
	service, options, err := config.parseService()
	if err != nil {
		return nil, err
	}
	if service.TemplateS3Bucket == "" {
		return nil, invalid("service.template_s3_bucket: is not set", "set it to the name of a bucket that exists or shall be created")
	}
	found, err := identify(ctx, config, service)
	if err != nil {
		return nil, err
	}
	service.AWSConfig = found.ambient
	client, err := crossaccount.New(service, append(options, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		return nil, err
	}
	region := service.DefaultRegion
	if region == "" {
		region = crossaccount.DefaultRegion
	}
	return &TemplateBucket{service.TemplateS3Bucket, region, service.ServiceAccountID, client}, nil
}

// Plan says what Prepare would change.
func (b *TemplateBucket) Plan(ctx context.Context) (changes []string, err error) {
	return b.client.PlanTemplateBucket(ctx)
}

// Prepare creates the bucket or mends it, and says what it changed.
func (b *TemplateBucket) Prepare(ctx context.Context) (changes []string, err error) {
	return b.client.PrepareTemplateBucket(ctx)
}
