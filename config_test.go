package crossaccount_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount"
)

func TestConfigJSON(t *testing.T) {
	const text = `{"service_name":"Acme","service_account_id":"111111111111","default_region":"eu-central-1","template_s3_bucket":"acme-templates",
		"session_duration":"30m","external_id_prefix":"acme","branding_options":{"logo_url":"https://a.example/l.png"},
		"ongoing_permissions":[{"sid":"Read","effect":"Allow","actions":["s3:GetObject"],"resources":["*"],"condition":{"Bool":{"aws:SecureTransport":true}}}],
		"setup_permissions":[{"actions":["s3:PutObject"],"resources":["*"]}]}`
	want := crossaccount.Config{
		ServiceName: "Acme", ServiceAccountID: "111111111111", DefaultRegion: "eu-central-1", TemplateS3Bucket: "acme-templates",
		SessionDuration: 30 * time.Minute, ExternalIDPrefix: "acme", BrandingOptions: map[string]string{"logo_url": "https://a.example/l.png"},
		OngoingPermissions: []crossaccount.Permission{{Sid: "Read", Effect: "Allow", Actions: []string{"s3:GetObject"}, Resources: []string{"*"},
			Condition: map[string]any{"Bool": map[string]any{"aws:SecureTransport": true}}}},
		SetupPermissions: []crossaccount.Permission{{Actions: []string{"s3:PutObject"}, Resources: []string{"*"}}},
	}
	var got crossaccount.Config
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreFields(crossaccount.Config{}, "AWSConfig")
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	written, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var again crossaccount.Config
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again, ignore); diff != "" {
		t.Errorf("after writing %s (-want +got):\n%s", written, diff)
	}

	kept := crossaccount.Config{AWSConfig: aws.Config{Region: "eu-west-1"}, ServiceName: "kept", SessionDuration: time.Hour}
	if err := json.Unmarshal([]byte(`{"service_account_id":"111111111111"}`), &kept); err != nil {
		t.Fatal(err)
	}
	if kept.AWSConfig.Region != "eu-west-1" || kept.ServiceName != "kept" || kept.SessionDuration != time.Hour {
		t.Errorf("absent fields were changed: %+v", kept)
	}
	for text, want := range map[string]time.Duration{`"1h"`: time.Hour, `"90m"`: 90 * time.Minute, `3600000000000`: time.Hour, `0`: 0, `null`: 0} {
		var c crossaccount.Config
		if err := json.Unmarshal([]byte(`{"session_duration":`+text+`}`), &c); err != nil || c.SessionDuration != want {
			t.Errorf("session_duration %s: %v, %v", text, c.SessionDuration, err)
		}
	}
	for _, text := range []string{`"soon"`, `true`, `1.5`, `{}`, `"1"`} {
		var c crossaccount.Config
		if err := json.Unmarshal([]byte(`{"session_duration":`+text+`}`), &c); err == nil {
			t.Errorf("session_duration %s was accepted as %v", text, c.SessionDuration)
		}
	}
}

func TestConfigValidateReportsEverything(t *testing.T) {
	c := &crossaccount.Config{
		ServiceName: "\t", ServiceAccountID: "12", DefaultRegion: "mars-1", TemplateS3Bucket: "Not_A_Bucket", SessionDuration: time.Minute,
		ExternalIDPrefix:   "has spaces",
		OngoingPermissions: []crossaccount.Permission{{Effect: "Maybe", Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}},
		SetupPermissions:   []crossaccount.Permission{{Actions: nil, Resources: []string{"*"}}},
	}
	err := c.Validate()
	wantCode(t, err, crossaccount.CodeInvalidConfig)
	for _, field := range []string{"service_name", "service_account_id", "default_region", "template_s3_bucket", "session_duration", "external_id_prefix",
		"ongoing_permissions[0].effect", "setup_permissions[0].actions"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if _, again := crossaccount.New(c); again == nil || again.Error() != err.Error() {
		t.Errorf("New says %v", again)
	}
	var none *crossaccount.Config
	wantCode(t, none.Validate(), crossaccount.CodeInvalidConfig)
	if _, err := crossaccount.New(nil); crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig {
		t.Errorf("New(nil): %v", err)
	}

	mixed := &crossaccount.Config{ServiceName: "s", ServiceAccountID: vendorID, DefaultRegion: "us-east-1", AWSConfig: aws.Config{Region: "us-gov-west-1"}}
	wantCode(t, mixed.Validate(), crossaccount.CodeInvalidConfig)
}

func TestWhatIsOnlyUglyIsAWarning(t *testing.T) {
	log := new(syncBuffer)
	client, err := crossaccount.New(&crossaccount.Config{ServiceName: strings.Repeat("long ", 60), ServiceAccountID: vendorID,
		BrandingOptions: map[string]string{"logo_url": "javascript:alert(1)", "primary_color": "red;}", "support_url": "http://plain.example"},
	}, crossaccount.WithLogger(textLogger(log)))
	if err != nil {
		t.Fatal(err)
	}
	page := visitAt(client, "", "", nil).Body.String()
	for _, ignored := range []string{"javascript:", "red;}", "plain.example", strings.Repeat("long ", 41)} {
		if strings.Contains(page, ignored) {
			t.Errorf("the page has %q", ignored)
		}
	}
	for _, field := range []string{"service_name", "branding_options.logo_url", "branding_options.primary_color", "branding_options.support_url"} {
		if !strings.Contains(log.String(), field) {
			t.Errorf("no warning about %s:\n%s", field, log)
		}
	}
	if _, err := client.GenerateCloudFormationTemplate(); err != nil {
		t.Error(err)
	}
}

func TestNewNeedsOnlyNameAccountAndBucket(t *testing.T) {
	log := new(syncBuffer)
	client, err := crossaccount.New(&crossaccount.Config{ServiceName: "Acme", ServiceAccountID: vendorID, TemplateS3Bucket: bucket}, crossaccount.WithLogger(textLogger(log)))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range []string{"kept in memory", "sealed with a key that will be lost", "uncontrolled", "no permissions"} {
		if !strings.Contains(log.String(), warning) {
			t.Errorf("New did not warn %q:\n%s", warning, log)
		}
	}
	if template, err := client.GenerateCloudFormationTemplate(); err != nil || !json.Valid([]byte(template)) {
		t.Errorf("template: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, option := range map[string]crossaccount.Option{
		"WithStorage":             crossaccount.WithStorage(nil),
		"WithEncryption":          crossaccount.WithEncryption(nil),
		"WithProbe":               crossaccount.WithProbe(aws.Config{}),
		"WithCanaryRole":          crossaccount.WithCanaryRole("canary"),
		"canary_role_arn":         crossaccount.WithCanaryRole("arn:aws:iam::" + oneID + ":role/elsewhere"),
		"broker_role_arn":         crossaccount.WithBrokerRole("arn:aws:iam::" + oneID + ":role/elsewhere"),
		"WithBrokerRole":          crossaccount.WithBrokerRole("arn:aws:iam::" + oneID + ":role/elsewhere"),
		"WithProbeRole":           crossaccount.WithProbeRole("arn:aws:iam::" + oneID + ":role/probe"), // not ours
		"WithClock":               crossaccount.WithClock(nil),
		"WithRandom":              crossaccount.WithRandom(nil),
		"WithHTTPClient":          crossaccount.WithHTTPClient(nil),
		"WithWait":                crossaccount.WithWait(nil),
		"WithPatience":            crossaccount.WithPatience(-1),
		"WithPendingFor":          crossaccount.WithPendingFor(0),
		"WithPresignedTemplates":  crossaccount.WithPresignedTemplates(8 * 24 * time.Hour),
		"WithTenantResolver":      crossaccount.WithTenantResolver(nil),
		"WithTags":                crossaccount.WithTags(map[string]string{"aws:x": "y"}),
		"WithPermissionsBoundary": crossaccount.WithPermissionsBoundary(""),
	} {
		_, err := crossaccount.New(&crossaccount.Config{ServiceName: "s", ServiceAccountID: vendorID}, option, crossaccount.WithLogger(nil))
		if crossaccount.CodeOf(err) != crossaccount.CodeInvalidConfig || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseConfig(t *testing.T) {
	const text = `{"service_name":"Acme","service_account_id":"111111111111","template_s3_bucket":"acme-templates","session_duration":"2h",
		"broker_role_arn":"arn:aws:iam::111111111111:role/broker","tags":{"team":"data"},"self_inspection":false,"patience":"5s","pending_for":"24h",
		"permissions_boundary":"boundary","presigned_templates":"1h"}`
	config, options, err := crossaccount.ParseConfig([]byte(text))
	if err != nil || config.SessionDuration != 2*time.Hour || len(options) != 7 {
		t.Fatalf("%+v, %d options, %v", config, len(options), err)
	}
	client, err := crossaccount.New(config, append(options, crossaccount.WithLogger(nil))...)
	if err != nil {
		t.Fatal(err)
	}
	template, err := client.GenerateCloudFormationTemplate()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"role/broker", `"team"`, "policy/boundary", "7200"} {
		if !strings.Contains(template, part) {
			t.Errorf("the template lacks %s", part)
		}
	}
	if strings.Contains(template, "self-inspection") {
		t.Error("the template has self-inspection although it was switched off")
	}
	for _, text := range []string{``, `[]`, `{"service_nam":"x"}`, `{"service_name":"a","service_account_id":"111111111111"} x`, `{"patience":"long"}`, `{"session_duration":true}`, `{"tags":["x"]}`} {
		_, _, err := crossaccount.ParseConfig([]byte(text))
		wantCode(t, err, crossaccount.CodeInvalidConfig)
		if strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "struct") {
			t.Errorf("%s: the error speaks Go: %v", text, err)
		}
	}
}

func TestStates(t *testing.T) {
	reachable := map[crossaccount.State]bool{crossaccount.StatePending: true}
	for range crossaccount.States() {
		for from := range reachable {
			for _, to := range from.Next() {
				reachable[to] = true
				if !from.CanBecome(to) {
					t.Errorf("%s.Next has %s, CanBecome does not", from, to)
				}
			}
		}
	}
	for _, state := range crossaccount.States() {
		if !reachable[state] || !state.CanBecome(state) {
			t.Errorf("%s cannot be reached, or not be kept", state)
		}
		if state.Open() && state.Usable() {
			t.Errorf("%s is both open and usable", state)
		}
		if state.Usable() && state.CanBecome(crossaccount.StatePending) {
			t.Errorf("%s can become pending", state)
		}
	}
	if len(crossaccount.StateRevoked.Next()) != 0 {
		t.Error("what is revoked can come back")
	}
	if crossaccount.State("odd").CanBecome("odd") || crossaccount.StateActive.CanBecome("odd") {
		t.Error("an unknown state is legal")
	}
	crossaccount.StatePending.Next()[0] = "changed"
	if crossaccount.StatePending.Next()[0] == "changed" {
		t.Error("the table of moves can be changed")
	}
}
