package world

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// A trailEvent is what matters of a CloudTrail event.
//
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type trailEvent struct {
	EventTime          string          `json:"eventTime"`
	EventSource        string          `json:"eventSource"`
	EventName          string          `json:"eventName"`
	AWSRegion          string          `json:"awsRegion"`
	SourceIPAddress    string          `json:"sourceIPAddress"`
	UserAgent          string          `json:"userAgent"`
	ErrorCode          string          `json:"errorCode"`
	ErrorMessage       string          `json:"errorMessage"`
	VPCEndpointID      string          `json:"vpcEndpointId"`
	RecipientAccountID string          `json:"recipientAccountId"`
	RequestParameters  map[string]any  `json:"requestParameters"`
	UserIdentity       trailIdentity   `json:"userIdentity"`
	Resources          []trailResource `json:"resources"`
	TLSDetails         json.RawMessage `json:"tlsDetails"`
}

type trailIdentity struct {
	Type           string `json:"type"`
	PrincipalID    string `json:"principalId"`
	ARN            string `json:"arn"`
	AccountID      string `json:"accountId"`
	InvokedBy      string `json:"invokedBy"`
	SessionContext struct {
		Attributes struct {
			MFA string `json:"mfaAuthenticated"`
		} `json:"attributes"`
	} `json:"sessionContext"`
}

type trailResource struct {
	ARN     string `json:"ARN"`
	Account string `json:"accountId"`
}

// parseTrail reads a CloudTrail event, a log file with Records, or the output
// of aws cloudtrail lookup-events, in which events are strings.
func parseTrail(data []byte) (*Denial, error) {
	var file struct {
		Records []trailEvent `json:"Records"`
		Events  []struct {
			CloudTrailEvent string `json:"CloudTrailEvent"`
		} `json:"Events"`
		CloudTrailEvent string      `json:"CloudTrailEvent"`
		Detail          *trailEvent `json:"detail"` // from EventBridge
		trailEvent
	}
	if data[0] == '[' {
		data = append(append([]byte(`{"Records":`), data...), '}')
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("this is no CloudTrail event: %w", err)
	}
	events := file.Records
	texts := []string{file.CloudTrailEvent}
	for _, e := range file.Events {
		texts = append(texts, e.CloudTrailEvent)
	}
	for _, text := range texts {
		if text == "" {
			continue
		}
		var e trailEvent
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("CloudTrailEvent: this is no CloudTrail event: %w", err)
		}
		events = append(events, e)
	}
	if file.Detail != nil {
		events = append(events, *file.Detail)
	}
	if file.EventName != "" {
		events = append(events, file.trailEvent)
	}
	total := len(events)
	events = slices.DeleteFunc(events, func(e trailEvent) bool { return total > 1 && !e.refused() })
	switch {
	case len(events) == 0:
		return nil, fmt.Errorf("there is no refused event here: none of %d has an errorCode such as AccessDenied", total)
	case len(events) > 1:
		return nil, fmt.Errorf("%d events here were refused; give one of them", len(events))
	case events[0].EventName == "" || events[0].EventSource == "":
		return nil, fmt.Errorf("this is no CloudTrail event: it has no eventName or eventSource")
	}
	return events[0].denial(), nil
}

// refused reports whether the event is of a request without permission. Services
// use several codes for that.
func (e *trailEvent) refused() bool {
	code := strings.ToLower(e.ErrorCode)
	return strings.Contains(code, "accessdenied") || strings.Contains(code, "unauthorized") || strings.Contains(code, "notauthorized") ||
		strings.Contains(code, "forbidden") || code == "authorizationerror"
}

func (e *trailEvent) denial() *Denial {
	d := &Denial{}
	if m, err := parseMessage(e.ErrorMessage); err == nil {
		d = m
		d.Missing = nil
	} else {
		d.Reason = parseReason(e.ErrorMessage)
	}
	if !e.refused() {
		d.Notes = append(d.Notes, "the event was not refused: it has no errorCode such as AccessDenied")
	}
	e.principal(d)
	e.action(d)
	e.resource(d)
	e.context(d)
	d.finish()
	return d
}

func (e *trailEvent) principal(d *Denial) {
	id := &e.UserIdentity
	switch {
	case d.Question.Principal != "":
	case id.ARN != "":
		d.Question.Principal = id.ARN
	case id.Type == "AWSService" && id.InvokedBy != "":
		d.Question.Principal = id.InvokedBy
	case id.Type == "AWSAccount" && id.AccountID == "anonymous", id.PrincipalID == "anonymous":
		d.Question.Principal = Anonymous
	case id.Type == "AWSAccount" && id.AccountID != "":
		d.Question.Principal = id.AccountID
		d.Notes = append(d.Notes, "the caller belongs to account "+id.AccountID+"; the event does not say which principal of it")
	}
}

// action finds the IAM action of an API operation, which mostly has its name.
func (e *trailEvent) action(d *Denial) {
	if d.Question.Action != "" {
		return
	}
	service, _, _ := strings.Cut(e.EventSource, ".")
	if renamed, ok := trailServices[service]; ok {
		service = renamed
	}
	name := service + ":" + e.EventName
	if renamed, ok := trailActions[strings.ToLower(name)]; ok {
		name = renamed
	}
	if a, ok := reference.LookupAction(name); ok {
		name = a.String()
	} else if suggested := reference.SuggestAction(name); suggested != "" {
		d.Notes = append(d.Notes, fmt.Sprintf("no action is called %s; %s was taken", name, suggested))
		name = suggested
	} else {
		d.Notes = append(d.Notes, fmt.Sprintf("no action is called %s in the service authorization reference", name))
	}
	d.Question.Action = name
}

// trailServices are event sources that differ from the prefix of the actions.
var trailServices = map[string]string{
	"monitoring": "cloudwatch", "email": "ses", "tagging": "tag",
}

// trailActions are operations that another action decides about.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var trailActions = map[string]string{
	"s3:headobject": "s3:GetObject", "s3:listobjects": "s3:ListBucket", "s3:listobjectsv2": "s3:ListBucket",
	"s3:headbucket": "s3:ListBucket", "s3:copyobject": "s3:PutObject", "s3:uploadpart": "s3:PutObject",
	"s3:createmultipartupload": "s3:PutObject", "s3:completemultipartupload": "s3:PutObject",
	"s3:deleteobjects": "s3:DeleteObject", "s3:listbuckets": "s3:ListAllMyBuckets",
	"s3:listobjectversions": "s3:ListBucketVersions", "s3:listmultipartuploads": "s3:ListBucketMultipartUploads",
	"s3:listparts": "s3:ListMultipartUploadParts", "s3:getbucketencryption": "s3:GetEncryptionConfiguration",
	"s3:putbucketencryption": "s3:PutEncryptionConfiguration", "lambda:invoke": "lambda:InvokeFunction",
}

// resource finds the resource: in the message, in the event's list, or in the
// request's parameters.
func (e *trailEvent) resource(d *Denial) {
	q := &d.Question
	for _, r := range e.Resources {
		if q.Resource == "" || q.Resource == r.ARN {
			if account, err := iam.ParseAccountID(r.Account); err == nil {
				q.ResourceAccount = account
			}
		}
	}
	if q.Resource != "" {
		return
	}
	if strings.HasPrefix(strings.ToLower(q.Action), "s3:") {
		if bucket, ok := e.RequestParameters["bucketName"].(string); ok && bucket != "" {
			q.Resource = "arn:" + e.partition() + ":s3:::" + bucket
			if key, ok := e.RequestParameters["key"].(string); ok && key != "" {
				q.Resource += "/" + key
			}
			return
		}
	}
	for _, name := range []string{"roleArn", "resourceArn", "functionName", "secretId", "keyId", "topicArn", "streamARN", "tableName", "policyArn", "stateMachineArn"} {
		if arn, ok := e.RequestParameters[name].(string); ok && strings.HasPrefix(arn, "arn:") {
			q.Resource = arn
			return
		}
	}
	for _, r := range e.Resources {
		if r.ARN != "" {
			q.Resource = r.ARN
			return
		}
	}
	if a, ok := reference.LookupAction(q.Action); ok && len(a.Resources) == 0 {
		q.Resource = "*"
	}
}

func (e *trailEvent) partition() string {
	if p, ok := iam.PartitionOfRegion(e.AWSRegion); ok {
		return p.ID
	}
	return "aws"
}

// context takes over the condition keys that an event tells.
func (e *trailEvent) context(d *Denial) {
	c := &d.Question.Context
	if e.EventTime != "" {
		c.Set("aws:CurrentTime", e.EventTime)
	}
	if e.AWSRegion != "" {
		c.Set("aws:RequestedRegion", e.AWSRegion)
	}
	if e.UserAgent != "" {
		c.Set("aws:UserAgent", strings.Trim(e.UserAgent, "[]"))
	}
	switch {
	case e.VPCEndpointID != "":
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-sourceip
		c.Set("aws:SourceVpce", e.VPCEndpointID)
		c.SetAbsent("aws:SourceIp")
		if _, err := netip.ParseAddr(e.SourceIPAddress); err == nil {
			c.Set("aws:VpcSourceIp", e.SourceIPAddress)
		}
	default:
		if _, err := netip.ParseAddr(e.SourceIPAddress); err == nil {
			c.Set("aws:SourceIp", e.SourceIPAddress)
			c.SetAbsent("aws:SourceVpce")
			c.SetAbsent("aws:SourceVpc")
			c.SetAbsent("aws:VpcSourceIp")
		}
	}
	if mfa := e.UserIdentity.SessionContext.Attributes.MFA; mfa == "true" || mfa == "false" {
		c.Set("aws:MultiFactorAuthPresent", mfa)
	}
	if by := e.UserIdentity.InvokedBy; by != "" && e.UserIdentity.Type != "AWSService" {
		c.Set("aws:ViaAWSService", "true")
		c.SetMulti("aws:CalledVia", by)
		c.Set("aws:CalledViaFirst", by)
		c.Set("aws:CalledViaLast", by)
	} else {
		c.Set("aws:ViaAWSService", "false")
	}
	if len(e.TLSDetails) > 0 && string(e.TLSDetails) != "null" {
		c.Set("aws:SecureTransport", "true")
	}
	e.parameters(d)
}

// parameters takes over condition keys that are parameters of the request.
func (e *trailEvent) parameters(d *Denial) {
	c := &d.Question.Context
	service, _, _ := strings.Cut(strings.ToLower(d.Question.Action), ":")
	text := func(name string) (string, bool) {
		s, ok := e.RequestParameters[name].(string)
		return s, ok && s != ""
	}
	switch service {
	case "sts":
		if s, ok := text("externalId"); ok {
			c.Set("sts:ExternalId", s)
		}
		if s, ok := text("roleSessionName"); ok {
			c.Set("sts:RoleSessionName", s)
		}
		if s, ok := text("sourceIdentity"); ok {
			c.Set("sts:SourceIdentity", s)
		}
	case "s3":
		if s, ok := text("prefix"); ok {
			c.Set("s3:prefix", s)
		}
		if s, ok := text("x-amz-acl"); ok {
			c.Set("s3:x-amz-acl", s)
		}
		if s, ok := text("x-amz-server-side-encryption"); ok {
			c.Set("s3:x-amz-server-side-encryption", s)
		}
	}
}
