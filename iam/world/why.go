package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/iam/eval"
)

// A Denial is what an AccessDenied message or a CloudTrail event says about a
// refused request.
type Denial struct {
	// Question is what was asked. Its context holds what the source says about
	// the request; the rest stays unknown. Principal, Action or Resource may be
	// empty if the source does not say them, see Missing.
	Question Question

	// Reason is what AWS says decided, if it does.
	Reason Reason

	// Missing names the fields of Question that the source does not say:
	// "principal", "action", "resource".
	Missing []string

	// Notes says what was guessed and what the source cannot say, as sentences.
	Notes []string
}

// A Reason is why AWS says it refused a request. AWS names one policy type even
// if several refuse.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
type Reason struct {
	Known    bool       // the source gives a reason
	Explicit bool       // a Deny statement matched; else nothing allowed
	Layer    eval.Layer // whose policies; [eval.LayerNone] if the source does not say
	Policy   string     // ARN of the policy, if the source names it
}

// ParseDenial reads the text of an AccessDenied error, as the aws command, an
// SDK or a service's answer shows it, or a CloudTrail event as JSON: the event
// itself, or an object with Records or Events of which one was refused. Anything
// before and after the message is ignored.
func ParseDenial(text []byte) (*Denial, error) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return nil, fmt.Errorf("there is nothing to read; paste an AccessDenied message or a CloudTrail event")
	}
	if trimmed[0] == '{' || trimmed[0] == '[' {
		if json.Valid(trimmed) {
			return parseTrail(trimmed)
		}
	}
	return parseMessage(string(trimmed))
}

var (
	// "User: ARN is not authorized to perform: ACTION on resource: ARN REASON".
	// Some services leave out "User:", quote the resource, call it "the resource
	// with identifier", or say "is not authorized to perform ACTION".
	deniedForm = regexp.MustCompile(`(?is)(?:User:\s*)?(\S+) is not authorized to perform:?\s+([A-Za-z0-9-]+:[A-Za-z0-9*]+)(.*)`)

	// Lambda and API Gateway: "User: ARN is not authorized to perform: ACTION on
	// resource: ARN", with stars in account ids; and "on the resource".
	resourceForm = regexp.MustCompile(`(?is)^\s+on (?:the )?resources?:?\s+["']?(arn:[^\s"',]+|\*|[^\s"',]+)["']?`)

	explicitForm = regexp.MustCompile(`(?is)\b(?:with|due to|because of) an explicit deny(?: in (?:an?|the) ([a-z -]+?) ?polic(?:y|ies)| in (?:an?|the) (permissions boundary))?(?:: ?"?(arn:[^\s"',]+))?(?:[\s.,;:"')]|$)`)
	implicitForm = regexp.MustCompile(`(?is)\bbecause no ([a-z -]+?)(?: policy| policies)? allows?\b`)
	boundaryForm = regexp.MustCompile(`(?is)\bno permissions boundary\b`)
	tailARN      = regexp.MustCompile(`arn:[a-z-]+:(?:iam|organizations)::[^\s"',]+`)
)

func parseMessage(text string) (*Denial, error) {
	m := deniedForm.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("this is neither an AccessDenied message of the form \"User: ARN is not authorized to perform: ACTION on resource: ARN …\" nor a CloudTrail event as JSON%s", encodedHint(text))
	}
	d := &Denial{}
	d.Question.Action = m[2]
	d.setPrincipal(strings.Trim(m[1], `"'`))
	rest := m[3]
	if r := resourceForm.FindStringSubmatch(rest); r != nil {
		d.setResource(strings.TrimRight(r[1], ".;"))
	}
	d.Reason = parseReason(rest)
	d.finish()
	return d, nil
}

// encodedHint says what to do with a message that only holds encoded text.
func encodedHint(text string) string {
	if strings.Contains(text, "Encoded authorization failure message") {
		return "; decode the encoded message with: aws sts decode-authorization-message --encoded-message MESSAGE"
	}
	return ""
}

func (d *Denial) setPrincipal(s string) {
	switch {
	case strings.EqualFold(s, "anonymous"):
		d.Question.Principal = Anonymous
	case strings.HasPrefix(s, "arn:"), isServicePrincipal(s):
		d.Question.Principal = s
	default:
		d.Notes = append(d.Notes, fmt.Sprintf("the message calls the principal %q, which is no ARN", s))
	}
}

func (d *Denial) setResource(s string) {
	if s != "*" && !strings.HasPrefix(s, "arn:") {
		d.Notes = append(d.Notes, fmt.Sprintf("the message calls the resource %q, which is no ARN", s))
		return
	}
	if strings.Contains(s, ":********") || strings.Contains(s, "****") {
		d.Notes = append(d.Notes, fmt.Sprintf("the service hides parts of the resource %s", s))
		return
	}
	d.Question.Resource = s
}

// finish lists what is missing.
func (d *Denial) finish() {
	for _, f := range []struct{ name, value string }{
		{"principal", d.Question.Principal}, {"action", d.Question.Action}, {"resource", d.Question.Resource},
	} {
		if f.value == "" {
			d.Missing = append(d.Missing, f.name)
		}
	}
}

// parseReason reads the last part of a message.
func parseReason(text string) Reason {
	if m := explicitForm.FindStringSubmatch(text); m != nil {
		r := Reason{Known: true, Explicit: true, Layer: layerNamed(m[1] + m[2]), Policy: m[3]}
		if r.Policy == "" && r.Layer != eval.LayerNone {
			_, after, _ := strings.Cut(text, "explicit deny")
			r.Policy = tailARN.FindString(after)
		}
		return r
	}
	if boundaryForm.MatchString(text) {
		return Reason{Known: true, Layer: eval.LayerBoundary}
	}
	if m := implicitForm.FindStringSubmatch(text); m != nil {
		return Reason{Known: true, Layer: layerNamed(m[1])}
	}
	return Reason{}
}

// layerNamed returns the layer that AWS's messages call so.
func layerNamed(name string) eval.Layer {
	name = strings.Join(strings.Fields(strings.ToLower(strings.ReplaceAll(name, "-", " "))), " ")
	switch strings.TrimSuffix(name, " policy") {
	case "identity based":
		return eval.LayerIdentity
	case "resource based", "role trust", "trust", "key":
		return eval.LayerResource
	case "permissions boundary":
		return eval.LayerBoundary
	case "session":
		return eval.LayerSession
	case "service control":
		return eval.LayerServiceControl
	case "resource control":
		return eval.LayerResourceControl
	case "vpc endpoint", "endpoint":
		return eval.LayerEndpoint
	}
	return eval.LayerNone
}
