package broker_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/broker"
)

const narrow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`

// STS sees exactly what was asked for.
func TestWhatSTSSees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		c := fake.config()
		c.Purposes = []broker.Purpose{{Name: "read", Policy: narrow, PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}}}
		b := start(t, c)
		r := access("acme")
		r.Purpose = "read"
		r.Chain[0].SourceIdentity = "inventory"
		r.Chain[0].Tags = []broker.Tag{{"team", "blue"}, {"env", "prod"}}
		r.Chain[0].TransitiveTagKeys = []string{"team"}
		r.Chain[0].Duration = 2 * time.Hour
		h := handle(t, b, r)
		got := get(t, h)
		if got.AccountID != "222222222222" || got.SessionToken != token || got.SecretAccessKey != secret || !got.CanExpire ||
			got.Expires.Before(time.Now().Add(2*time.Hour-5*time.Second)) {
			t.Errorf("credentials %+v", got)
		}
		want := map[string]string{
			"Action": "AssumeRole", "Version": "2011-06-15",
			"RoleArn": "arn:aws:iam::222222222222:role/acme", "ExternalId": externalID, "RoleSessionName": "inventory@acme",
			"SourceIdentity": "inventory", "DurationSeconds": "7200", "Policy": narrow,
			"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
			"Tags.member.1.Key":       "env", "Tags.member.1.Value": "prod",
			"Tags.member.2.Key": "team", "Tags.member.2.Value": "blue",
			"TransitiveTagKeys.member.1": "team",
		}
		form := map[string]string{}
		for k := range fake.seen()[0].form {
			form[k] = fake.seen()[0].form.Get(k)
		}
		if diff := cmp.Diff(want, form); diff != "" {
			t.Error(diff)
		}
		if s := h.Subject(); s.Purpose != "read" || s.Customer != "acme" || s.RoleARN != r.Chain[0].ARN || s.Key != h.Key() {
			t.Errorf("subject %+v", s)
		}
	})
}

// Whatever STS sees, and for whom it is, makes another entry; the order of what
// is a set does not, nor does what is not seen.
func TestKey(t *testing.T) {
	fake := newFake(t)
	base := fake.config()
	base.Purposes = []broker.Purpose{{Name: "read", Policy: narrow}, {Name: "read too", Policy: narrow}}
	request := func() broker.Request {
		r := access("acme")
		r.Chain[0].Tags = []broker.Tag{{"a", "1"}, {"b", "2"}}
		r.Chain[0].TransitiveTagKeys = []string{"a", "b"}
		r.Chain[0].PolicyARNs = []string{"arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"}
		return r
	}
	b := start(t, base)
	same := handle(t, b, request())
	for name, change := range map[string]func(*broker.Request){
		"class":          func(r *broker.Request) { r.Class = broker.HTTPRead },
		"onboarded":      func(r *broker.Request) { r.Onboarded = time.Now() },
		"duration":       func(r *broker.Request) { r.Chain[0].Duration = time.Hour },
		"order of tags":  func(r *broker.Request) { r.Chain[0].Tags = []broker.Tag{{"b", "2"}, {"a", "1"}} },
		"order of keys":  func(r *broker.Request) { r.Chain[0].TransitiveTagKeys = []string{"b", "a"} },
		"order of ARNs":  func(r *broker.Request) { p := r.Chain[0].PolicyARNs; p[0], p[1] = p[1], p[0] },
		"nothing at all": func(*broker.Request) {},
	} {
		r := request()
		change(&r)
		if handle(t, b, r) != same {
			t.Errorf("%s: another entry", name)
		}
	}
	keys := map[broker.Key]string{same.Key(): "the request"}
	other := func(name string, b *broker.Broker, change func(*broker.Request)) {
		t.Helper()
		r := request()
		change(&r)
		key := handle(t, b, r).Key()
		if before, ok := keys[key]; ok {
			t.Errorf("%s: the same entry as %s", name, before)
		}
		keys[key] = name
	}
	for name, change := range map[string]func(*broker.Request){
		"customer":       func(r *broker.Request) { r.Customer = "other" },
		"integration":    func(r *broker.Request) { r.Integration = "other" },
		"moved letter":   func(r *broker.Request) { r.Customer, r.Integration = "acmei", "nt-acme" },
		"role":           func(r *broker.Request) { r.Chain[0].ARN += "x" },
		"account":        func(r *broker.Request) { r.Chain[0].ARN = "arn:aws:iam::333333333333:role/acme" },
		"external ID":    func(r *broker.Request) { r.Chain[0].ExternalID = "other" },
		"no external ID": func(r *broker.Request) { r.Chain[0].ExternalID = "" },
		"session":        func(r *broker.Request) { r.Chain[0].SessionName = "other" },
		"source":         func(r *broker.Request) { r.Chain[0].SourceIdentity = "other" },
		"duration":       func(r *broker.Request) { r.Chain[0].Duration = 2 * time.Hour },
		"tag value":      func(r *broker.Request) { r.Chain[0].Tags[0].Value = "x" },
		"tag key": func(r *broker.Request) {
			r.Chain[0].Tags[0].Key = "c"
			r.Chain[0].TransitiveTagKeys = []string{"b", "c"}
		},
		"transitive":  func(r *broker.Request) { r.Chain[0].TransitiveTagKeys = nil },
		"policy":      func(r *broker.Request) { r.Chain[0].Policy = narrow },
		"policy ARNs": func(r *broker.Request) { r.Chain[0].PolicyARNs = r.Chain[0].PolicyARNs[:1] },
		"purpose":     func(r *broker.Request) { r.Purpose = "read"; r.Chain[0].PolicyARNs = nil },
		"same policy": func(r *broker.Request) { r.Purpose = "read too"; r.Chain[0].PolicyARNs = nil },
		"chain": func(r *broker.Request) {
			r.Chain = append([]broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub"}}, r.Chain...)
		},
		"shared hub": func(r *broker.Request) {
			r.Chain = append([]broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub", Shared: true}}, r.Chain...)
		},
		"other hub": func(r *broker.Request) {
			r.Chain = append([]broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub2"}}, r.Chain...)
		},
	} {
		other(name, b, change)
	}
	for name, change := range map[string]func(*broker.Config){
		"identity": func(c *broker.Config) { c.BaseIdentity = "another" },
		"purpose's text": func(c *broker.Config) {
			c.Purposes[0].Policy = strings.Replace(narrow, "Get", "Put", 1)
		},
	} {
		c := fake.config()
		c.BaseIdentity = "vendor"
		c.Purposes = []broker.Purpose{{Name: "read", Policy: narrow}}
		change(&c)
		other(name, start(t, c), func(r *broker.Request) { r.Purpose = "read"; r.Chain[0].PolicyARNs = nil })
	}
	c := fake.config()
	c.BaseIdentity = "vendor"
	c.Regions = []string{"eu-west-1", "us-west-2"}
	if handle(t, start(t, c), request()).Key() != same.Key() {
		t.Error("the region is part of the key")
	}
}

// A chain is followed, what is common is shared, and sessions last an hour.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		b := start(t, fake.config())
		hub := broker.Role{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub", Duration: 12 * time.Hour, Shared: true}
		through := func(customer string) *broker.Handle {
			r := access(customer)
			r.Chain[0].Duration = 12 * time.Hour
			r.Chain = append([]broker.Role{hub}, r.Chain...)
			return handle(t, b, r)
		}
		one, two := through("acme"), through("other")
		get(t, one)
		get(t, two)
		calls := fake.seen()
		if len(calls) != 3 {
			t.Fatalf("%d calls; want the hub's and two", len(calls))
		}
		for i, c := range calls {
			if i == 0 {
				if c.role() != hub.ARN || c.key != "AKIABASE000000000000" || c.form.Get("DurationSeconds") != "43200" {
					t.Errorf("the first call %v", c.form)
				}
				continue
			}
			if !strings.HasPrefix(c.key, "ASIA") || c.form.Get("DurationSeconds") != "3600" {
				t.Errorf("call %d signed by %s for %s s", i, c.key, c.form.Get("DurationSeconds"))
			}
		}
		for range 13 * 60 {
			get(t, one)
			get(t, two)
			time.Sleep(time.Minute)
		}
		hubs := 0
		for _, c := range fake.seen() {
			if c.role() == hub.ARN {
				hubs++
			}
		}
		if hubs != 2 {
			t.Errorf("the hub was assumed %d times in 13 h", hubs)
		}

		b.Revoke("acme", "")
		if s := b.Stats(); s.Entries != 2 {
			t.Errorf("%d entries; want the hub and the other customer", s.Entries)
		}
		b.Revoke("other", "")
		if s := b.Stats(); s.Entries != 0 {
			t.Errorf("%d entries are left of the chain", s.Entries)
		}
	})
}

// The hub fails while customers' credentials are valid.
func TestHubRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		seen := &recorder{}
		c := fake.config()
		c.Observer = seen
		b := start(t, c)
		r := access("acme")
		r.Chain = append([]broker.Role{{ARN: "arn:aws:iam::111111111111:role/hub", SessionName: "hub", Shared: true}}, r.Chain...)
		h := handle(t, b, r)
		until := get(t, h).Expires
		fake.do(func(c call) reply {
			if strings.HasSuffix(c.role(), "/hub") {
				return denied
			}
			return granted(c)
		})
		var err error
		for began := time.Now(); err == nil; time.Sleep(time.Second) {
			var c aws.Credentials
			if c, err = h.Retrieve(t.Context()); err == nil {
				until = c.Expires
			}
			if time.Since(began) > 3*time.Hour {
				t.Fatal("credentials through a hub that refuses")
			}
		}
		if left := time.Until(until); left > 2*time.Second {
			t.Errorf("the customer's credentials were given up %s before they expired", left)
		}
		for _, e := range seen.happened() {
			if e.Kind == broker.EventWithdrawn && e.Subject.Customer != "" {
				t.Errorf("reported as withdrawn by %s", e.Subject.Customer)
			}
		}
	})
}

// A customer's role on the way to another of its roles is the customer's.
func TestWithdrawnOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		seen := &recorder{}
		c := fake.config()
		c.Observer = seen
		b := start(t, c)
		r := access("acme")
		r.Chain = append(r.Chain, broker.Role{ARN: "arn:aws:iam::222222222222:role/inner", SessionName: "inner"})
		h := handle(t, b, r)
		get(t, h)
		for _, i := range seen.sessions() {
			if i.Customer != "acme" || i.Integration != "int-acme" {
				t.Errorf("%s is audited as of %q", i.RoleARN, i.Customer)
			}
		}
		fake.do(func(c call) reply {
			if strings.HasSuffix(c.role(), "/acme") {
				return denied
			}
			return granted(c)
		})
		var err error
		began := time.Now()
		for ; err == nil; time.Sleep(time.Second) {
			_, err = h.Retrieve(t.Context())
			if time.Since(began) > 2*time.Hour {
				t.Fatal("the customer's refusal has no effect")
			}
		}
		if got := seen.kinds(); strings.Count(got, "withdrawn") != 2 {
			t.Errorf("events %q", got)
		}
	})
}

// A base identity with temporary credentials makes every role a chained one.
func TestTemporaryBaseIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		c := fake.config()
		c.AWSConfig.Credentials = credentials.NewStaticCredentialsProvider("ASIABASE000000000000", "base", "token")
		r := access("acme")
		r.Chain[0].Duration = 4 * time.Hour
		get(t, handle(t, start(t, c), r))
		if got := fake.seen()[0].form.Get("DurationSeconds"); got != "3600" {
			t.Errorf("asked for %s s", got)
		}
	})
}

// The role allows less than was asked for.
func TestShorterSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.do(func(c call) reply {
			if c.form.Get("DurationSeconds") != "900" && c.form.Get("DurationSeconds") != "3600" {
				return reply{code: "ValidationError", status: 400, message: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
			}
			return granted(c)
		})
		b := start(t, fake.config())
		r := access("acme")
		r.Chain[0].Duration = 4 * time.Hour
		h := handle(t, b, r)
		get(t, h)
		if n := fake.count(); n != 2 {
			t.Errorf("%d calls", n)
		}
		for range 70 {
			get(t, h)
			time.Sleep(time.Minute)
		}
		if n := fake.count(); n != 1 {
			t.Errorf("%d calls for a renewal; it is known how long it may last", n)
		}
	})
}

// Our clock is wrong. Credentials are judged by AWS's, and reported by ours.
func TestSkew(t *testing.T) {
	for _, skew := range []time.Duration{-20 * time.Minute, 20 * time.Minute, 3 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				fake.always(reply{after: 20 * time.Millisecond, skew: skew})
				b := start(t, fake.config())
				h := handle(t, b, access("acme"))
				c := get(t, h)
				if left := time.Until(c.Expires); left < 59*time.Minute+55*time.Second || left > time.Hour+time.Second {
					t.Errorf("%s left by our clock", left)
				}
				fake.count()
				fake.always(reply{code: "ServiceUnavailable", status: 503, skew: skew})
				time.Sleep(time.Hour)
				fails(t, h, broker.CodeUnavailable)
				fake.always(reply{after: 20 * time.Millisecond, skew: skew})
				time.Sleep(time.Minute)
				fake.count()
				for range 180 {
					get(t, h)
					time.Sleep(time.Minute)
				}
				if n := fake.count(); n < 3 || n > 4 {
					t.Errorf("%d calls in 3 h", n)
				}
			})
		})
	}
}

// A request signed by a clock that is wrong is tried again with AWS's time.
func TestSkewedSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		n := 0
		fake.do(func(c call) reply {
			if n++; n == 1 {
				return reply{code: "SignatureDoesNotMatch", status: 403, message: "Signature expired", skew: time.Hour}
			}
			return reply{after: 20 * time.Millisecond, skew: time.Hour}
		})
		get(t, handle(t, start(t, fake.config()), access("acme")))
		if n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		b := start(t, fake.config())
		h := handle(t, b, access("acme"))
		first := get(t, h)
		h.Invalidate("ASIAOTHER")
		if get(t, h).AccessKeyID != first.AccessKeyID {
			t.Error("dropped because of another key")
		}
		h.Invalidate(first.AccessKeyID)
		second := get(t, h)
		if second.AccessKeyID == first.AccessKeyID {
			t.Error("not dropped")
		}
		h.Invalidate(first.AccessKeyID)
		if get(t, h).AccessKeyID != second.AccessKeyID {
			t.Error("dropped because of a key that was replaced")
		}
	})
}

// A handle that was forgotten passes on what it hears of credentials to the entry
// that took its place.
func TestInvalidateOfForgottenHandle(t *testing.T) {
	b := start(t, newFake(t).config())
	old := handle(t, b, access("acme"))
	get(t, old)
	b.Forget("acme", "")
	h := handle(t, b, access("acme"))
	if h == old {
		t.Fatal("the entry is the forgotten one")
	}
	first := get(t, h)
	done := make(chan struct{})
	go func() {
		old.Invalidate(first.AccessKeyID)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs") // with the locks held, so nothing more can be tried
	}
	if get(t, h).AccessKeyID == first.AccessKeyID || get(t, old).AccessKeyID != get(t, h).AccessKeyID {
		t.Error("not dropped")
	}
}

// A service says that the credentials have expired: the SDK's next attempt has
// others.
func TestConfigReplacesExpiredCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		var keys []string
		service := transport(func(r *http.Request) (*http.Response, error) {
			if !strings.HasPrefix(r.URL.Host, "sts.eu-west-1.") {
				return fake.RoundTrip(r)
			}
			_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
			key, _, _ := strings.Cut(credential, "/")
			keys = append(keys, key)
			if len(keys) == 1 {
				return fake.refuse(r, reply{code: "ExpiredToken"}), nil
			}
			return fake.answer(r, 200, time.Now(), `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`), nil
		})
		c := fake.config()
		c.AWSConfig.HTTPClient = &http.Client{Transport: service}
		b := start(t, c)
		h := handle(t, b, access("acme"))
		get(t, h)
		time.Sleep(time.Minute)
		config := h.Config("eu-west-1")
		if _, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if len(keys) != 2 || keys[0] == keys[1] {
			t.Errorf("keys %q", keys)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// All configurations share one client, whose kind service clients do not copy.
func TestConfigSharesOneClient(t *testing.T) {
	b := start(t, broker.Config{AWSConfig: aws.Config{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}}})
	one, two := handle(t, b, access("acme")).Config(""), handle(t, b, access("other")).Config("eu-west-1")
	client, ok := one.HTTPClient.(*http.Client)
	if !ok || two.HTTPClient != client {
		t.Errorf("clients %T and %T", one.HTTPClient, two.HTTPClient)
	}
	if one.Region != "us-east-1" || two.Region != "eu-west-1" || one.Credentials == two.Credentials {
		t.Error("region or credentials are wrong")
	}
	if _, ok := one.Credentials.(*broker.Handle); !ok {
		t.Errorf("credentials are a %T", one.Credentials)
	}
}

// Our own credentials fail: everybody's problem, nobody's fault.
func TestOwnCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		own := errors.New("no instance metadata")
		c := fake.config()
		c.AWSConfig.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"}, own
		})
		b := start(t, c)
		h := handle(t, b, access("acme"))
		e := fails(t, h, broker.CodeUnavailable)
		if !errors.Is(e, own) {
			t.Errorf("the cause is %v", e.Unwrap())
		}
		own = nil
		time.Sleep(time.Second)
		get(t, h)

		n := 0
		fake.do(func(c call) reply {
			if n++; n == 1 {
				return reply{code: "ExpiredToken", status: 403}
			}
			return granted(c)
		})
		get(t, handle(t, b, access("other"))) // the base credentials were obtained anew
	})
}
