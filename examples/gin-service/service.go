package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
)

const (
	requestTimeout = 30 * time.Second
	maxBody        = 16 << 10
	maxReport      = 50 << 20
)

type service struct {
	client *crossaccount.Client
	log    *slog.Logger
}

// newRouter returns the service's routes. All of them are for authenticated
// customers, each of whom reaches its own integration only.
func newRouter(client *crossaccount.Client, callers tokens, log *slog.Logger) http.Handler {
	s := &service{client, log}
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = true
	r.Use(s.logged, gin.CustomRecoveryWithWriter(nil, panicked))
	r.NoRoute(func(c *gin.Context) { fail(c, crossaccount.NewError(codeNotFound, "there is no such page", "", nil)) })
	r.NoMethod(func(c *gin.Context) {
		fail(c, crossaccount.NewError(codeMethodNotAllowed, "the method is not allowed here", "", nil))
	})

	customers := r.Group("/", callers.requireCaller)
	customers.GET("/integrate", gin.WrapF(client.ServeSetupUI))
	customers.POST("/integrate", gin.WrapF(client.ServeSetupUI)) // the page's own forms
	api := customers.Group("/api", limited)                      // the page limits itself
	api.POST("/integration/start", answering(s.start))
	api.POST("/integration/complete", answering(s.complete))
	api.GET("/customer/:id/data", s.data)

	// Browsers send HTTP Basic credentials by themselves, also when another
	// site makes them send a form.
	return http.NewCrossOriginProtection().Handler(r)
}

// start begins the caller's onboarding and answers with the launch link. Asking
// again gives the same external ID.
func (s *service) start(c *gin.Context) (any, error) {
	var request crossaccount.IntegrationRequest
	err := readJSON(c, &request)
	if err != nil {
		return nil, err
	}
	if request.CustomerID, err = ownID(c, request.CustomerID); err != nil {
		return nil, err
	}
	return s.client.GenerateIntegrationURL(c.Request.Context(), &request)
}

// complete verifies the role that the caller presents and takes it into use. It
// may be called as often as one likes: a role that AWS does not know yet is
// answered with 409 and Retry-After, and then the client sends the same again.
func (s *service) complete(c *gin.Context) (any, error) {
	var request crossaccount.VerificationRequest
	err := readJSON(c, &request)
	if err != nil {
		return nil, err
	}
	if request.CustomerID, err = ownID(c, request.CustomerID); err != nil {
		return nil, err
	}
	return s.client.Complete(c.Request.Context(), &request)
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// data answers with an object of the customer's: ?bucket=acme-reports&key=q3.csv.
func (s *service) data(c *gin.Context) {
	customerID, err := callerOf(c.Request)
	if err != nil || c.Param("id") != customerID {
		fail(c, crossaccount.NewError(crossaccount.CodeForbidden, "this is not your customer id", "ask for your own data", nil))
		return
	}
	bucket, key := c.Query("bucket"), c.Query("key")
	if !bucketPattern.MatchString(bucket) || key == "" || len(key) > 1024 || strings.ContainsFunc(key, unicode.IsControl) {
		fail(c, crossaccount.NewError(crossaccount.CodeInvalidRequest, "bucket and key must name an object in S3", "", nil))
		return
	}
	object, err := s.readObject(c.Request.Context(), customerID, bucket, key)
	if err != nil {
		fail(c, err)
		return
	}
	defer object.Body.Close()
	// The content is the customer's. A browser must not take it for a page of
	// ours.
	c.DataFromReader(http.StatusOK, *object.ContentLength, "application/octet-stream", object.Body, map[string]string{
		"Content-Disposition":     "attachment",
		"Content-Security-Policy": "default-src 'none'; sandbox",
		"X-Content-Type-Options":  "nosniff",
		"Cache-Control":           "no-store",
	})
}

// readObject opens an object with the credentials of the customer's role.
func (s *service) readObject(ctx context.Context, customerID, bucket, key string) (*s3.GetObjectOutput, error) {
	config, err := s.client.AssumeCustomerRole(ctx, customerID)
	if err != nil {
		return nil, err
	}
	credentials, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	get := &s3.GetObjectInput{
		Bucket: &bucket, Key: &key,
		// Whoever else lets this role read a bucket, it is not this customer's.
		ExpectedBucketOwner: &credentials.AccountID,
	}
	object, err := s3.NewFromConfig(config).GetObject(ctx, get)
	if elsewhere := bucketRegion(err); elsewhere != "" && elsewhere != config.Region {
		config.Region = elsewhere // the stack was made in another region
		object, err = s3.NewFromConfig(config).GetObject(ctx, get)
	}
	if err != nil {
		return nil, storageError(err)
	}
	if object.ContentLength == nil || *object.ContentLength > maxReport {
		object.Body.Close()
		return nil, crossaccount.NewError(codeTooLarge, "the object has more than "+strconv.Itoa(maxReport>>20)+" MB", "ask for a smaller one", nil)
	}
	return object, nil
}

// bucketRegion returns where S3 says the bucket is, if it says so.
func bucketRegion(err error) string {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) {
		return ""
	}
	return answer.Response.Header.Get("X-Amz-Bucket-Region")
}

// limited bounds how long a request may take. What it calls obeys the context.
func limited(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

// logged writes one line per request. Paths, headers and bodies stay out of the
// log: they are not ours.
func (s *service) logged(c *gin.Context) {
	start := time.Now()
	c.Next()
	attributes := []any{"method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(), "duration", time.Since(start)}
	if customerID, err := callerOf(c.Request); err == nil {
		attributes = append(attributes, "customer", customerID)
	}
	for _, failure := range c.Errors {
		attributes = append(attributes, "cause", failure.Error())
	}
	s.log.Info("request", attributes...)
}
