package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/iam/world"
)

// parseDenial reads what package world reads, and two more forms: a decoded
// authorization message, and an error that says no more than "Access Denied".
func parseDenial(text []byte) (*world.Denial, error) {
	if d, ok, err := parseDecoded(text); ok {
		return d, err
	}
	d, err := world.ParseDenial(text)
	if err == nil {
		return d, nil
	}
	if bytes.Contains(text, []byte("Encoded authorization failure message")) {
		return nil, errors.New(`the reason is encoded in the message. Decode it, in the account of the caller and with the permission sts:DecodeAuthorizationMessage, and ask again:
aws sts decode-authorization-message --encoded-message 'THE ENCODED TEXT' | crossaccount why`)
	}
	if bare := parseBare(string(text)); bare != nil {
		return bare, nil
	}
	return nil, err
}

// A decodedMessage is what sts decode-authorization-message returns, as JSON in
// DecodedMessage.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html
type decodedMessage struct {
	Allowed           *bool `json:"allowed"`
	ExplicitDeny      bool  `json:"explicitDeny"`
	MatchedStatements struct {
		Items []struct {
			StatementID string `json:"statementId"`
			Effect      string `json:"effect"`
		} `json:"items"`
	} `json:"matchedStatements"`
	Context struct {
		Principal struct {
			ARN string `json:"arn"`
		} `json:"principal"`
		Action     string `json:"action"`
		Resource   string `json:"resource"`
		Conditions struct {
			Items []struct {
				Key    string `json:"key"`
				Values struct {
					Items []struct {
						Value string `json:"value"`
					} `json:"items"`
				} `json:"values"`
			} `json:"items"`
		} `json:"conditions"`
	} `json:"context"`
}

// parseDecoded reads a decoded authorization message. It reports false if the
// text is something else.
func parseDecoded(text []byte) (d *world.Denial, ok bool, err error) {
	var outer struct {
		DecodedMessage *string
	}
	var m decodedMessage
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, false, nil
	}
	if outer.DecodedMessage != nil {
		text = []byte(*outer.DecodedMessage)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, outer.DecodedMessage != nil, fmt.Errorf("the decoded message is not JSON: %w", err)
	}
	if m.Allowed == nil {
		return nil, outer.DecodedMessage != nil, errors.New("the decoded message does not say whether the request was allowed")
	}
	if *m.Allowed {
		return nil, true, errors.New("this is no refusal: the decoded message says that the request was allowed")
	}
	d = &world.Denial{Reason: world.Reason{Known: true, Explicit: m.ExplicitDeny}}
	d.Question.Principal, d.Question.Action, d.Question.Resource = m.Context.Principal.ARN, m.Context.Action, m.Context.Resource
	for _, c := range m.Context.Conditions.Items {
		prefix, _, hasColon := strings.Cut(c.Key, ":")
		if _, err := iam.ParseAccountID(prefix); err == nil || !hasColon {
			continue // "123456789012:Name": a tag without its key's name
		}
		var values []string
		for _, v := range c.Values.Items {
			values = append(values, v.Value)
		}
		known, _ := reference.LookupKey(c.Key)
		if len(values) != 1 || known.Type.Multivalued {
			d.Question.Context.SetMulti(c.Key, values...)
		} else {
			d.Question.Context.Set(c.Key, values[0])
		}
	}
	for _, s := range m.MatchedStatements.Items {
		if strings.EqualFold(s.Effect, "DENY") && s.StatementID != "" {
			d.Notes = append(d.Notes, fmt.Sprintf("the Deny statement that matched has the Sid %q", s.StatementID))
		}
	}
	setMissing(d)
	return d, true, nil
}

func setMissing(d *world.Denial) {
	d.Missing = nil
	for _, f := range []struct{ name, value string }{
		{"principal", d.Question.Principal}, {"action", d.Question.Action}, {"resource", d.Question.Resource},
	} {
		if f.value == "" {
			d.Missing = append(d.Missing, f.name)
		}
	}
}

var (
	// What the aws command, boto3 and the SDK for Go write around a message.
	calledForm = regexp.MustCompile(`\((?:AccessDenied|AccessDeniedException|403|Forbidden)\) when calling the (\w+) operation: (Access Denied|Forbidden)`)
	goForm     = regexp.MustCompile(`operation error S3: (\w+),.*(?:AccessDenied: Access Denied|Forbidden)`)
	xmlForm    = regexp.MustCompile(`<Code>AccessDenied</Code>\s*<Message>Access Denied</Message>`)
)

// storageActions are operations of S3 that have an action of another name.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
var storageActions = map[string]string{
	"HeadObject": "GetObject", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
	"ListObjectVersions": "ListBucketVersions", "ListBuckets": "ListAllMyBuckets", "DeleteObjects": "DeleteObject",
	"CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject", "CopyObject": "PutObject",
	"GetBucketEncryption": "GetEncryptionConfiguration", "PutBucketEncryption": "PutEncryptionConfiguration",
}

// parseBare reads S3's short error. It is nil if the text has none.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
func parseBare(text string) *world.Denial {
	operation := ""
	if m := calledForm.FindStringSubmatch(text); m != nil {
		operation = m[1]
	} else if m := goForm.FindStringSubmatch(text); m != nil {
		operation = m[1]
	} else if !xmlForm.MatchString(text) && strings.TrimSpace(text) != "Access Denied" {
		return nil
	}
	d := &world.Denial{Notes: []string{
		"S3 gives its reason only to callers of the bucket's own account or organisation; so short an answer usually means that the caller is from another account",
	}}
	if operation != "" {
		d.Question.Action = "s3:" + operation
		if other, ok := storageActions[operation]; ok {
			d.Question.Action = "s3:" + other
		}
		if operation == "HeadObject" || operation == "GetObject" {
			d.Notes = append(d.Notes, "an object that does not exist is refused in the same way to callers without s3:ListBucket on the bucket")
		}
	}
	setMissing(d)
	return d
}

// sideOfLayer returns whose account a layer's policies are in.
func sideOfLayer(l eval.Layer) eval.Side {
	switch l {
	case eval.LayerIdentity, eval.LayerBoundary, eval.LayerSession, eval.LayerServiceControl, eval.LayerEndpoint:
		return eval.SidePrincipal
	case eval.LayerResource, eval.LayerResourceControl:
		return eval.SideResource
	case eval.LayerNone:
	}
	return eval.SideNone
}

// accountsOf returns the accounts that a refusal shows; "" if it does not.
func accountsOf(d *world.Denial) (principal, resource string) {
	if arn, err := iam.ParseARN(d.Question.Principal); err == nil {
		principal = arn.Account
	}
	if arn, err := iam.ParseARN(d.Question.Resource); err == nil {
		resource = arn.Account
	}
	if d.Question.ResourceAccount != "" {
		resource = string(d.Question.ResourceAccount)
	}
	return principal, resource
}

// across reports whether the refusal shows that two accounts are involved.
func across(d *world.Denial) bool {
	principal, resource := accountsOf(d)
	return principal != "" && resource != "" && principal != resource
}

// proves says what follows from the message alone.
func proves(d *world.Denial) []string {
	var lines []string
	r := d.Reason
	layer, where := r.Layer.String(), sideText(d, r.Layer)
	switch {
	case !r.Known && across(d):
		lines = append(lines, "the message gives no reason; across accounts AWS often hides it from the caller, so either side may be at fault")
	case !r.Known:
		lines = append(lines, "the message gives no reason")
	case r.Explicit && r.Layer == eval.LayerNone:
		lines = append(lines, "a Deny statement matched; a Deny always wins, so no additional Allow helps")
	case r.Explicit:
		line := fmt.Sprintf("a Deny statement in a %s matched (%s); a Deny always wins, so no additional Allow helps", layer, where)
		if r.Policy != "" {
			line += "; the policy is " + r.Policy
		}
		lines = append(lines, line)
	case r.Layer == eval.LayerNone:
		lines = append(lines, "nothing denies it explicitly: something that has to allow it does not")
	default:
		lines = append(lines, fmt.Sprintf("no %s allows it (%s), and nothing that AWS looked at before denies it explicitly", layer, where))
	}
	if d.Question.Action != "" && strings.EqualFold(d.Question.Action, "sts:AssumeRole") && !r.Known {
		lines = append(lines, "for sts:AssumeRole AWS says the same if the role does not exist, if its trust policy does not allow the caller or demands another external ID, and if the caller's own policies do not allow it")
	}
	if across(d) {
		principal, resource := accountsOf(d)
		lines = append(lines, fmt.Sprintf("it is across accounts (%s asks, %s owns the resource): both sides have to allow it, and AWS names only one reason", principal, resource))
	}
	return lines
}

func sideText(d *world.Denial, l eval.Layer) string {
	principal, resource := accountsOf(d)
	side, account := sideOfLayer(l), principal
	if side == eval.SideResource {
		account = resource
	}
	switch {
	case l == eval.LayerServiceControl || l == eval.LayerResourceControl:
		return fmt.Sprintf("the %s's side, in its organisation", side)
	case side == eval.SideNone:
		return "the message does not say on which side"
	case account == "":
		return fmt.Sprintf("the %s's side", side)
	}
	return fmt.Sprintf("the %s's side, account %s", side, account)
}
