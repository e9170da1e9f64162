// Package clients_test lets AWS's own clients go through one scenario against
// the sandbox, served over HTTP on the loopback interface: a vendor assumes a
// customer's role and meets its limits, and the customer's administrator uses
// S3, IAM and CloudFormation.
//
// The scenario is the table in [TestClients]. Each client goes through its
// steps in its own language (testdata/scenario.py, testdata/js/scenario.js,
// awscommand_test.go, gosdk_test.go) and says what it saw; the table is the
// same for all of them. Terraform, which has no steps, has a test of its own.
package clients_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// An observation is what a client saw at one step: an error's code as its
// language shows it, or a value.
type observation struct {
	Step  string `json:"step"`
	Code  string `json:"code"`
	Value string `json:"value"`
}

// A client goes through the steps and returns what it saw.
type client struct {
	name string
	run  func(t *testing.T, s *scenario) []observation
}

var clients = []client{
	{"aws-sdk-go-v2", runGoSDK},
	{"aws", runAWSCommand},
	{"boto3", runBoto3},
	{"javascript", runJavaScript},
}

// presigned is the step whose value is a URL, which this test fetches.
const presigned = "presigned URL"

func TestClients(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			session := "arn:aws:sts::" + customerID + ":assumed-role/reader/scenario"
			expected := []observation{
				{Step: "identity of the user", Value: "arn:aws:iam::" + vendorID + ":user/broker"},
				{Step: "assume without external ID", Code: "AccessDenied"},
				{Step: "assume with a wrong external ID", Code: "AccessDenied"},
				{Step: "assume with a malformed external ID", Code: "ValidationError"},
				{Step: "assume for longer than the role allows", Code: "ValidationError"},
				{Step: "assume with the external ID", Value: session},
				{Step: "identity of the session", Value: session},
				{Step: "get", Value: content},
				{Step: "get outside the prefix", Code: "AccessDenied"},
				{Step: "put", Code: "AccessDenied"},
				{Step: "wrong secret, STS", Code: "SignatureDoesNotMatch"},
				{Step: "wrong secret, S3", Code: "SignatureDoesNotMatch"},
				{Step: "made-up token, STS", Code: "InvalidClientTokenId"},
				{Step: "made-up token, S3", Code: "InvalidToken"},
				{Step: "expired token, STS", Code: "ExpiredToken"},
				{Step: "expired token, S3", Code: "ExpiredToken"},
				{Step: "operation the sandbox lacks", Code: "NotImplemented"},
				{Step: "get what is not there", Code: "NoSuchKey"},
				{Step: "upload and download", Value: sha256Of(s.Large)},
				{Step: "upload and download in parts", Value: sha256Of(s.Larger)},
				{Step: "list objects in pages", Value: strings.Join(strangeKeys, "\n")},
				{Step: presigned},
				{Step: "list roles in pages", Value: "team-1\nteam-2\nteam-3\nteam-4\nteam-5"},
				{Step: "create stack without capability", Code: "InsufficientCapabilitiesException"},
				{Step: "create stack and wait", Value: "CREATE_COMPLETE"},
				{Step: "output of the stack", Value: "arn:aws:iam::" + customerID + ":role/stacks/made-by-stack"},
				{Step: "trust of the stack's role", Value: vendorID},
				{Step: "update stack with nothing", Code: "ValidationError"},
				{Step: "delete stack and wait"},
				{Step: "describe deleted stack", Code: "ValidationError"},
			}
			seen := map[string]observation{}
			for _, o := range c.run(t, s) {
				if _, twice := seen[o.Step]; twice {
					t.Errorf("step %q was reported twice", o.Step)
				}
				seen[o.Step] = o
			}
			for _, want := range expected {
				got, ok := seen[want.Step]
				delete(seen, want.Step)
				switch {
				case !ok:
					t.Errorf("%s: was not reported", want.Step)
				case want.Step == presigned:
					s.checkPresigned(t, got.Value)
				case got != want:
					t.Errorf("%s:\n got %+v\nwant %+v", want.Step, got, want)
				}
			}
			for step := range seen {
				t.Errorf("%s: was reported and is not in the table", step)
			}
			s.checkUploads(t)
		})
	}
}

const (
	vendorID   = "111111111111"
	customerID = "222222222222"
	externalID = "Scenario-5f1d0c8e7b6a49382716053f4e2d1c0b"
	content    = "quarter,Umsatz in €\n"

	bucket   = "customer-reports"
	readable = "reports/2026/Q3 ä+%41.csv" // legal, and wrong if anybody decodes or encodes once too often
	secret   = "secrets/salaries.csv"
)

// strangeKeys sort by their bytes, as S3 sorts.
var strangeKeys = []string{"many/ leading", "many/a b+c%.txt", "many/a//b", "many/ü", "many/日本"}

// A scenario is the world of one client, and what the client is told about it.
type scenario struct {
	box   *sandboxtest.Sandbox
	admin aws.Config

	Endpoint   string      `json:"endpoint"`
	Region     string      `json:"region"`
	Broker     credentials `json:"broker"`  // a user of the vendor who may assume roles
	Admin      credentials `json:"admin"`   // a user of the customer who may do everything
	Expired    credentials `json:"expired"` // a session that was
	Role       string      `json:"role"`
	ExternalID string      `json:"external_id"`
	Bucket     string      `json:"bucket"`
	Readable   string      `json:"readable"`
	Secret     string      `json:"secret"`
	Many       string      `json:"many"`  // prefix of keys to list, two to a page
	Large      string      `json:"large"` // a file to upload
	Larger     string      `json:"larger"`
	Team       string      `json:"team"` // path of roles to list, two to a page
	Template   string      `json:"template"`
	VendorID   string      `json:"vendor_id"` // parameter Vendor of the template
}

// credentials with the names that AWS's SDKs give them.
type credentials struct {
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	SessionToken    string `json:"session_token,omitempty"`
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	// A session lasts 15 minutes at least, and clients may be wrong about the
	// time by 15 minutes at most. Going from eight minutes before to eight
	// minutes after makes a session expire without waiting for it.
	var ahead atomic.Int64
	ahead.Store(int64(-8 * time.Minute))
	box := sandboxtest.NewWith(t, sandbox.Options{
		Clock:     func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		StackStep: 50 * time.Millisecond,
	}, vendorID, customerID)
	vendor, customer := box.Account(vendorID), box.Account(customerID)

	broker := vendor.UserCredentials("broker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	admin := customer.UserCredentials("admin", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	role := customer.Role("reader", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+vendorID+`:root"},
		"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"`+externalID+`"}}}}`,
		[]string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],"Resource":"arn:aws:s3:::` + bucket + `/reports/*"}}`},
		func(in *iam.CreateRoleInput) { in.MaxSessionDuration = aws.Int32(3600) })
	for _, name := range []string{"team-1", "team-2", "team-3", "team-4", "team-5"} {
		customer.Role(name, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`, nil,
			func(in *iam.CreateRoleInput) { in.Path = aws.String("/team/") })
	}

	s := &scenario{
		box: box, admin: box.Config(admin),
		Region: sandboxtest.Region, Broker: credentials(broker), Admin: credentials(admin),
		Role: role, ExternalID: externalID, Bucket: bucket, Readable: readable, Secret: secret,
		Many: "many/", Team: "/team/",
		Large: randomFile(t, 5<<20), Larger: randomFile(t, 12<<20+1),
		Template: stackTemplate, VendorID: vendorID,
	}
	ctx := t.Context()
	store := s3.NewFromConfig(s.admin)
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
		t.Fatal(err)
	}
	for _, key := range append([]string{readable, secret}, strangeKeys...) {
		if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: &key, ContentType: aws.String("text/csv"), Body: strings.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := sts.NewFromConfig(box.Config(broker)).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: aws.String("expired"), ExternalId: aws.String(externalID), DurationSeconds: aws.Int32(900),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Expired = credentials{*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken}
	ahead.Store(int64(clockAhead))
	s.Endpoint = box.Serve()
	return s
}

const stackTemplate = `{
	"Parameters": {"Vendor": {"Type": "String", "AllowedPattern": "[0-9]{12}"}},
	"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {
		"RoleName": "made-by-stack",
		"Path": "/stacks/",
		"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Principal": {"AWS": {"Ref": "Vendor"}}, "Action": "sts:AssumeRole"}]}}}},
	"Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}
}`

// randomFile writes a file whose content is the same in every run, and nowhere
// in it the same, so that a part in the wrong place shows.
func randomFile(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, 0, size+sha256.Size)
	for block := sha256.Sum256(nil); len(data) < size; block = sha256.Sum256(block[:]) {
		data = append(data, block[:]...)
	}
	name := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(name, data[:size], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func sha256Of(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// checkPresigned fetches what the client presigned, as anybody could, and then
// with changes.
func (s *scenario) checkPresigned(t *testing.T, link string) {
	t.Helper()
	status, body := fetch(t, link)
	if status != http.StatusOK || body != content {
		t.Errorf("presigned URL: got %d %s", status, body)
	}
	parsed, err := url.Parse(link)
	if err != nil || !parsed.Query().Has("X-Amz-Signature") {
		t.Fatalf("presigned URL: is not one: %v", err)
	}
	for name, change := range map[string]func(*url.URL){
		"one character of the signature": func(u *url.URL) { u.RawQuery = changeLast(u.Query(), "X-Amz-Signature") },
		"one character of the date":      func(u *url.URL) { u.RawQuery = changeFirstDigit(u.Query(), "X-Amz-Expires") },
		"one character of the key":       func(u *url.URL) { u.Path, u.RawPath = strings.Replace(u.Path, "Q3", "Q4", 1), "" },
		"another object":                 func(u *url.URL) { u.Path, u.RawPath = "/"+bucket+"/"+secret, "" },
	} {
		changed := *parsed
		change(&changed)
		status, body := fetch(t, changed.String())
		if status != http.StatusForbidden || !strings.Contains(body, "<Code>SignatureDoesNotMatch</Code>") {
			t.Errorf("presigned URL with %s changed: got %d %s", name, status, body)
		}
	}
}

func changeLast(query url.Values, name string) string {
	value := query.Get(name)
	last := "0"
	if strings.HasSuffix(value, last) {
		last = "1"
	}
	query.Set(name, value[:len(value)-1]+last)
	return query.Encode()
}

func changeFirstDigit(query url.Values, name string) string {
	value := query.Get(name)
	first := "1"
	if strings.HasPrefix(value, first) {
		first = "2"
	}
	query.Set(name, first+value[1:])
	return query.Encode()
}

func fetch(t *testing.T, link string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// checkUploads looks at what the client left in the bucket: the bytes are those
// of the files, with the checksum that the client sent, and the larger one was
// really sent in parts.
func (s *scenario) checkUploads(t *testing.T) {
	t.Helper()
	store := s3.NewFromConfig(s.box.Config(sandbox.Credentials(s.Admin)), func(o *s3.Options) {
		o.HTTPClient = s.box.Client()
	})
	for key, file := range map[string]string{"large": s.Large, "larger": s.Larger} {
		out, err := store.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ChecksumMode: s3types.ChecksumModeEnabled})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		sum := sha256.New()
		_, err = io.Copy(sum, out.Body)
		if err = errors.Join(err, out.Body.Close()); err != nil || hex.EncodeToString(sum.Sum(nil)) != sha256Of(file) {
			t.Errorf("%s: is not the file that was uploaded (%v)", key, err)
		}
		checksums := map[string]*string{
			"CRC32": out.ChecksumCRC32, "CRC32C": out.ChecksumCRC32C, "CRC64NVME": out.ChecksumCRC64NVME, "SHA1": out.ChecksumSHA1, "SHA256": out.ChecksumSHA256,
		}
		var has []string
		for name, value := range checksums {
			if aws.ToString(value) != "" {
				has = append(has, name+" "+string(out.ChecksumType))
			}
		}
		if len(has) == 0 {
			t.Errorf("%s: was stored without the checksum that every SDK sends", key)
		}
		inParts := strings.Contains(aws.ToString(out.ETag), "-")
		if inParts != (key == "larger") {
			t.Errorf("%s: was stored with ETag %s", key, aws.ToString(out.ETag))
		}
		t.Logf("%s: ETag %s, checksum %s", key, aws.ToString(out.ETag), strings.Join(has, ", "))
	}
}

// runScript runs a program that reads the scenario and writes its observations.
func (s *scenario) runScript(t *testing.T, environment []string, program string, args ...string) []observation {
	t.Helper()
	input, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(s.box.Environment(s.Endpoint, sandbox.Credentials{}), environment...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.Bytes())
	}
	var seen []observation
	if err := json.Unmarshal(stdout.Bytes(), &seen); err != nil {
		t.Fatalf("%v in\n%s", err, stdout.Bytes())
	}
	return seen
}
