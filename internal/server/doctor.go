package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

// Outcomes of a check.
const (
	CheckOK      = "ok"
	CheckWarning = "warning" // works, but is unwise or incomplete
	CheckFailed  = "failed"
	CheckUnknown = "unknown" // could not be found out
)

// A Check is one thing that [Doctor] looked at.
type Check struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`           // what was found
	Remedy  string `json:"remedy,omitempty"` // what to do
}

// awsTimeout bounds every AWS call of the doctor.
const awsTimeout = 10 * time.Second

// Doctor looks at everything that a server needs, without changing anything.
// Told is called with each check as it is done, and may be nil.
func Doctor(ctx context.Context, config *Config, told func(Check)) []Check {
	d := &doctor{ctx: ctx, config: config, told: told}
	d.configuration()
	d.keys()
	d.database()
	d.access()
	if d.service == nil {
		return d.checks
	}
	found, err := identify(ctx, config, d.service)
	if err != nil {
		d.add("AWS configuration", CheckFailed, err.Error(), remedyOf(err))
		return d.checks
	}
	d.identities(found)
	d.bucket(found)
	return d.checks
}

type doctor struct {
	ctx    context.Context
	config *Config
	told   func(Check)
	checks []Check

	service *crossaccount.Config // nil if the configuration is wrong
	keySet  *crossaccount.KeySet // nil if there is none

	template string // key of a template that was published once
}

func (d *doctor) add(name, outcome, detail, remedy string) {
	check := Check{name, outcome, detail, remedy}
	d.checks = append(d.checks, check)
	if d.told != nil {
		d.told(check)
	}
}

// remedyOf splits an error of ours.
func remedyOf(err error) string {
	var ours *crossaccount.Error
	if errors.As(err, &ours) {
		return ours.Remedy
	}
	return ""
}

func messageOf(err error) string {
	var ours *crossaccount.Error
	if errors.As(err, &ours) {
		return ours.Message
	}
	return err.Error()
}

func (d *doctor) configuration() {
	const name = "configuration"
	service, options, err := d.config.parseService()
	if err == nil {
		options = append(options, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
		if probe, _ := d.config.Service["probe_role_arn"].(string); probe != "" {
			options = append(options, crossaccount.WithProbe(aws.Config{Credentials: aws.AnonymousCredentials{}}))
		}
		var client *crossaccount.Client
		if client, err = crossaccount.New(service, options...); err == nil {
			d.service = service
			d.add(name, CheckOK, fmt.Sprintf("service %q in account %s", service.ServiceName, service.ServiceAccountID), "")
			for _, w := range client.Warnings() {
				d.add(name, CheckWarning, w.Message, w.Remedy)
			}
		}
	}
	if err != nil {
		d.add(name, CheckFailed, messageOf(err), remedyOf(err))
	}
	for _, warning := range d.config.Warnings() {
		d.add(name, CheckWarning, warning, "")
	}
}

func (d *doctor) keys() {
	const name = "keys"
	keys, err := openKeys(d.config)
	switch {
	case err == nil:
		d.keySet = keys
		d.add(name, CheckOK, fmt.Sprintf("%d, the active one is %s", len(keys.KeyIDs()), keys.KeyIDs()[0]), "")
	case errors.Is(err, os.ErrNotExist):
		d.add(name, CheckWarning, "there is no key file yet", "start the server, which makes it; if you expected one, check key_file and the folder you started in")
	default:
		d.add(name, CheckFailed, messageOf(err), remedyOf(err))
	}
}

func (d *doctor) database() {
	const name = "database"
	if !exists(d.config.Database) {
		folder := filepath.Dir(d.config.Database)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			d.add(name, CheckFailed, "its folder "+folder+" does not exist", "make the folder, with mode 0700")
			return
		}
		d.add(name, CheckWarning, "there is none yet", "start the server, which makes it; if you expected one, check database and the folder you started in")
		return
	}
	current, newest, err := sqlite.SchemaVersion(d.ctx, d.config.Database)
	switch {
	case err != nil:
		d.add(name, CheckFailed, messageOf(err), remedyOf(err))
		return
	case current < newest:
		d.add(name, CheckWarning, fmt.Sprintf("its tables have version %d, this program has %d", current, newest), "make a backup; crossaccount serve brings them up to date")
		return
	}
	d.add(name, CheckOK, fmt.Sprintf("tables of version %d", current), "")
	d.keysFit()
}

// keysFit opens what one record has sealed.
func (d *doctor) keysFit() {
	const name = "keys fit the database"
	store, err := sqlite.Open(d.ctx, d.config.Database, sqlite.Options{Readers: 1})
	if err != nil {
		d.add(name, CheckFailed, messageOf(err), remedyOf(err))
		return
	}
	defer store.Close()
	page, err := store.List(d.ctx, crossaccount.IntegrationQuery{AllCustomers: true, Limit: 1})
	switch {
	case err != nil:
		d.add(name, CheckFailed, messageOf(err), remedyOf(err))
	case len(page.Integrations) == 0:
		d.add(name, CheckOK, "there are no integrations yet", "")
	case d.keySet == nil && (d.config.Keys != "" || exists(d.config.KeyFile)): // why was said above
		d.add(name, CheckUnknown, "the keys could not be read", "mend what the check of the keys found, then look again")
	case d.keySet == nil:
		d.add(name, CheckFailed, "there are integrations, but not the keys they were sealed with", "restore the key file from its backup")
	default:
		d.template = page.Integrations[0].TemplateKey
		encryptor, err := crossaccount.NewAESEncryptor(d.keySet)
		if err == nil {
			err = keysFit(d.ctx, store, encryptor)
		}
		if err != nil {
			d.add(name, CheckFailed, messageOf(err), remedyOf(err))
			return
		}
		d.add(name, CheckOK, "a sealed value opens", "")
	}
}

func (d *doctor) identities(found *identities) {
	broker := d.identity("broker identity", found.broker, configured(d.config, "broker_role_arn"))
	if found.probe == nil || configured(d.config, "canary_role_arn") == "" {
		d.add("probe and canary", CheckWarning, "not configured: verifications are uncontrolled, a refusal may come from your own policies",
			"make a probe role and a canary role, and set service.probe_role_arn and service.canary_role_arn")
		if found.probe == nil {
			return
		}
	}
	probe := d.identity("probe identity", *found.probe, configured(d.config, "probe_role_arn"))
	if broker != "" && broker == probe {
		d.add("probe identity", CheckFailed, "it is the same as the broker's", "let the probe be a role of its own, whose policies do not demand an external ID")
	}
	if canary := configured(d.config, "canary_role_arn"); canary != "" && probe != "" {
		d.canary(*found.probe, canary)
	}
}

func configured(config *Config, key string) string {
	value, _ := config.Service[key].(string)
	return value
}

// identity asks who the credentials belong to and returns the principal, without
// the session.
func (d *doctor) identity(name string, config aws.Config, role string) string {
	ctx, cancel := context.WithTimeout(d.ctx, awsTimeout)
	defer cancel()
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, nil)
	if err != nil {
		outcome, detail := failure(err)
		d.add(name, outcome, detail, "check where this process gets its AWS credentials from, and whether it may assume the role")
		return ""
	}
	principal := withoutSession(aws.ToString(who.Arn))
	switch {
	case aws.ToString(who.Account) != d.service.ServiceAccountID:
		d.add(name, CheckFailed, fmt.Sprintf("%s is in account %s, but service.service_account_id is %s, which customers' roles trust", principal, aws.ToString(who.Account), d.service.ServiceAccountID),
			"use credentials of the service's account, or correct service_account_id")
	case role != "" && !sameRole(principal, role):
		d.add(name, CheckFailed, fmt.Sprintf("it is %s, but templates trust %s", principal, role), "run as that role, or set assume_broker_role")
	default:
		d.add(name, CheckOK, principal, "")
	}
	return principal
}

// withoutSession makes arn:aws:sts::…:assumed-role/NAME of an assumed role's ARN.
func withoutSession(arn string) string {
	if strings.Contains(arn, ":assumed-role/") {
		if i := strings.LastIndexByte(arn, '/'); i > 0 {
			return arn[:i]
		}
	}
	return arn
}

// sameRole compares an assumed role, which has no path, with a role.
func sameRole(assumed, roleARN string) bool {
	role, err := iam.ParseRoleARN(roleARN)
	return err == nil && strings.HasSuffix(assumed, ":"+string(role.Account)+":assumed-role/"+role.Name)
}

func (d *doctor) canary(probe aws.Config, roleARN string) {
	ctx, cancel := context.WithTimeout(d.ctx, awsTimeout)
	defer cancel()
	_, err := sts.NewFromConfig(probe).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: aws.String("crossaccount-doctor")})
	if err != nil {
		outcome, detail := failure(err)
		d.add("canary role", outcome, "the probe cannot assume it without an external ID: "+detail,
			"let the canary role trust the probe role, without conditions, and let the probe role assume every role")
		return
	}
	d.add("canary role", CheckOK, "the probe can assume it without an external ID", "")
}

func (d *doctor) bucket(found *identities) {
	const name = "template bucket"
	bucket := d.service.TemplateS3Bucket
	if bucket == "" {
		d.add(name, CheckWarning, "not configured: there are no launch links", "set service.template_s3_bucket")
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, awsTimeout)
	defer cancel()
	client := s3.NewFromConfig(found.broker, func(o *s3.Options) {
		o.UsePathStyle = found.broker.BaseEndpoint != nil
		o.Region = d.service.DefaultRegion
		if o.Region == "" {
			o.Region = crossaccount.DefaultRegion
		}
	})
	owner := &d.service.ServiceAccountID
	// What the broker needs is to read and write templates. Without the permission
	// to list the bucket, S3 does not tell it whether an object exists.
	key := d.template
	if key == "" {
		key = "crossaccount-doctor/there-is-no-such-template"
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, ExpectedBucketOwner: owner})
	if err == nil {
		_ = object.Body.Close() // nothing was read
	}
	switch code := codeOf(err); {
	case err == nil:
		d.add(name, CheckOK, bucket+" is ours, and the broker can read the template in it", "")
	case code == "NoSuchKey" && d.template == "":
		d.add(name, CheckOK, bucket+" exists and is ours", "")
	case code == "AccessDenied" && d.template == "":
		d.add(name, CheckUnknown, bucket+" exists, but whether the broker may use it shows with the first template", "start an onboarding, then look again; if it fails, let the broker role get and put the bucket's objects")
	case code == "NoSuchBucket":
		d.add(name, CheckFailed, bucket+" does not exist", "let an administrator run crossaccount bucket --apply, or correct service.template_s3_bucket")
		return
	default:
		outcome, detail := failure(err)
		d.add(name, outcome, bucket+": "+detail, "check the bucket's name, region and account")
		return
	}
	versions, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket, ExpectedBucketOwner: owner})
	if err == nil && versions.Status != types.BucketVersioningStatusEnabled {
		d.add(name, CheckWarning, bucket+" keeps no versions, so a template that was overwritten would be lost", "let an administrator run crossaccount bucket --apply")
	}
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// failure words an AWS error without AWS's text, which may name internal roles.
// That AWS could not be asked is no finding.
func failure(err error) (outcome, detail string) {
	code := codeOf(err)
	switch {
	case code != "":
		return CheckFailed, "AWS answers " + code
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF):
		return CheckUnknown, "AWS does not answer"
	case strings.Contains(err.Error(), "failed to refresh cached credentials"), strings.Contains(err.Error(), "get identity: get credentials"):
		return CheckFailed, "there are no AWS credentials, or they cannot be obtained"
	}
	return CheckUnknown, "AWS cannot be reached"
}
