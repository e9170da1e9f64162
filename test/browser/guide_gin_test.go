package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
)

// ginProgram is the integration guide's service as its reader writes it: four
// routes, with the names of the front door and nothing else. POST /integrate is
// not one of them, so the page has to get by with the API.
func ginProgram(client *crossaccount.Client) http.Handler {
	router := gin.New()

	router.GET("/integrate", func(c *gin.Context) {
		client.ServeSetupUI(c.Writer, c.Request)
	})

	router.POST("/api/integration/start", func(c *gin.Context) {
		var req crossaccount.IntegrationRequest
		if err := c.ShouldBindJSON(&req); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
			return
		}
		resp, err := client.GenerateIntegrationURL(c.Request.Context(), &req)
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
			return
		}
		c.JSON(http.StatusOK, resp)
	})

	router.POST("/api/integration/complete", func(c *gin.Context) {
		var req crossaccount.VerificationRequest
		if err := c.ShouldBindJSON(&req); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
			return
		}
		if err := client.VerifyIntegration(c.Request.Context(), &req); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
			return
		}
		err := client.StoreCustomerCredentials(c.Request.Context(), &crossaccount.StoreCredentialsRequest{
			CustomerID: req.CustomerID,
			RoleARN:    req.RoleARN,
			ExternalID: req.ExternalID,
		})
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
			return
		}
		c.JSON(http.StatusOK, gin.H{"message": "Integration completed successfully"})
	})

	router.GET("/api/customer/:id/data", func(c *gin.Context) {
		cfg, err := client.AssumeCustomerRole(c.Request.Context(), c.Param("id"))
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
			return
		}
		object, err := s3.NewFromConfig(cfg).GetObject(c.Request.Context(), &s3.GetObjectInput{
			Bucket: aws.String(guideBucket), Key: aws.String(guideKey),
		})
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
			return
		}
		defer object.Body.Close()
		c.DataFromReader(http.StatusOK, *object.ContentLength, "text/plain", object.Body, nil)
	})
	return router
}

const (
	guideBucket = "cost-reports"
	guideKey    = "2026/q3.csv"
	guideReport = "quarter,cost\n2026Q3,42\n"
)

// putReport puts what the guide's customer has into its account.
func (v *vendor) putReport() {
	v.Helper()
	client := s3.NewFromConfig(v.box.Account(customerID).Config())
	if _, err := client.CreateBucket(v.Context(), &s3.CreateBucketInput{Bucket: aws.String(guideBucket)}); err != nil {
		v.Fatal(err)
	}
	if _, err := client.PutObject(v.Context(), &s3.PutObjectInput{
		Bucket: aws.String(guideBucket), Key: aws.String(guideKey), Body: strings.NewReader(guideReport),
	}); err != nil {
		v.Fatal(err)
	}
}

// TestGuideGin is the guide's story with a browser: the page's form, the launch
// link, the stack, the role's ARN, verification, the customer's data.
func TestGuideGin(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	t.Run("customers type their id", func(t *testing.T) {
		v := newVendor(t, 2*time.Second, nil)
		client := v.another() // no tenant resolver, as in the guide
		v.guide(t, ginProgram(client), "fabrikam")
	})
	t.Run("customers are signed in", func(t *testing.T) {
		v := newVendor(t, 2*time.Second, nil)
		signedIn := func(r *http.Request) (string, error) { return "fabrikam", nil }
		client := v.another(crossaccount.WithTenantResolver(signedIn))
		program := ginProgram(client)
		v.guide(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The reader's middleware: the id is the caller's, whatever the body says.
			if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/") {
				body, err := io.ReadAll(r.Body)
				if err != nil || strings.Contains(string(body), "customer_id") {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				r.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), "{", `{"customer_id":"fabrikam",`, 1)))
			}
			program.ServeHTTP(w, r)
		}), "")
	})
}

// guide goes the guide's way through a service. Without a customer the page
// knows who is calling.
func (v *vendor) guide(t *testing.T, service http.Handler, customer string) {
	v.putReport()
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	b := open(t)
	b.on(desktop, "light")
	b.do(chromedp.Navigate(server.URL + "/integrate"))
	b.see("Connect your AWS account")
	if customer != "" {
		b.do(chromedp.SendKeys("#customer_id", customer), chromedp.SendKeys("#customer_name", "Fabrikam, Inc."))
	}
	b.submit("Continue")
	b.see("Create the role in AWS")
	b.expectNoise("404") // the page asked whether POST /integrate is there
	b.accessible("launch")
	b.do(chromedp.Click("#launch-link"))
	var console string
	select {
	case console = <-b.opened:
	case <-b.ctx.Done():
		t.Fatal("the launch button opened no AWS console")
	}

	// What is not a role is said at once, by the service's own answer.
	b.do(chromedp.SendKeys("#role_arn", "arn:aws:iam::"+vendorID+":role/ours"))
	b.do(chromedp.Click(`//button[normalize-space(.)="Verify connection"]`), chromedp.WaitVisible("[data-notice].error"))
	b.expectNoise("404")
	b.expectNoise("400")
	if got := b.text("[data-notice]"); !strings.Contains(got, "The role is in our own account") {
		t.Errorf("of a role of the vendor's the page says %q", got)
	}
	b.accessible("refused")

	role := v.launch(console)
	b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("role_arn").value = ""`), chromedp.SendKeys("#role_arn", role))
	b.submit("Verify connection")
	b.see("Your account is connected")
	b.accessible("connected")
	if v.state() != crossaccount.StateActive {
		t.Errorf("the integration is %s", v.state())
	}

	response, err := http.Get(server.URL + "/api/customer/fabrikam/data")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(data) != guideReport {
		t.Errorf("the data: %s, %v\n%s", response.Status, err, data)
	}
	b.quiet()
}
