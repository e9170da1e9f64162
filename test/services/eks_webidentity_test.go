package services

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	issuerURL   = "https://idp.example.com/tenant"
	issuerName  = "idp.example.com/tenant"
	providerARN = "arn:aws:iam::" + owner + ":oidc-provider/" + issuerName
)

func federatedTrust(provider, condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],"Condition":` + condition + `}}`
}

func newProvider(t *testing.T, box *sandboxtest.Sandbox, account, url string, clients ...string) {
	t.Helper()
	_, err := iam.NewFromConfig(box.Account(account).Config()).CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &url, ClientIDList: clients})
	if err != nil {
		t.Fatal(err)
	}
}

// federation is an account that trusts an issuer, and a role for its subject.
func federation(t *testing.T, condition string) (*sandboxtest.Sandbox, *testIssuer, string) {
	t.Helper()
	box := sandboxtest.New(t, owner, friend)
	issuer := newIssuer(issuerURL)
	if err := box.RegisterIssuer(issuerURL, issuer.keySet()); err != nil {
		t.Fatal(err)
	}
	newProvider(t, box, owner, issuerURL, "client", "second")
	role := box.Account(owner).Role("app", federatedTrust(providerARN, condition), []string{allowAll})
	return box, issuer, role
}

const subjectAndAudience = `{"StringEquals":{"` + issuerName + `:sub":"subject","` + issuerName + `:aud":"client"}}`

// What a token must be to be believed, and what it must say to be trusted.
func TestWebIdentityTokens(t *testing.T) {
	box, issuer, role := federation(t, subjectAndAudience)
	stranger := &testIssuer{url: issuerURL, ec: issuer.ec}
	var err error
	if stranger.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	with := func(changes map[string]any) map[string]any {
		claims := issuer.claims()
		maps.Copy(claims, changes)
		return claims
	}
	without := func(name string) map[string]any {
		claims := issuer.claims()
		delete(claims, name)
		return claims
	}
	valid := issuer.sign("RS256", "r", issuer.claims())
	parts := strings.Split(valid, ".")
	for _, test := range []struct {
		name, token, want string
	}{
		{"RSA", valid, ""},
		{"elliptic curve", issuer.sign("ES256", "e", issuer.claims()), ""},
		{"no key id", issuer.sign("ES256", "", issuer.claims()), ""},
		{"audience in a list", issuer.sign("RS256", "r", with(map[string]any{"aud": []string{"client"}})), ""},
		{"authorized party", issuer.sign("RS256", "r", with(map[string]any{"aud": "other", "azp": "client"})), ""},
		{"four minutes after its end", issuer.sign("RS256", "r", with(map[string]any{"exp": now.Add(-4 * time.Minute).Unix()})), ""},

		{"no signature", issuer.sign("none", "r", issuer.claims()), "InvalidIdentityToken"},
		{"no signature and no key", issuer.sign("none", "", issuer.claims()), "InvalidIdentityToken"},
		{"public key as a secret", issuer.sign("HS256", "r", issuer.claims()), "InvalidIdentityToken"},
		{"foreign key", stranger.sign("RS256", "r", issuer.claims()), "InvalidIdentityToken"},
		{"key of another id", issuer.sign("RS256", "e", issuer.claims()), "InvalidIdentityToken"},
		{"algorithm that the key is not for", issuer.sign("RS384", "r", issuer.claims()), "InvalidIdentityToken"},
		{"algorithm of another curve", issuer.sign("ES384", "e", issuer.claims()), "InvalidIdentityToken"},
		{"extension that must be understood", issuer.signWith(map[string]any{"alg": "RS256", "kid": "r", "crit": []string{"b64"}, "b64": false}, issuer.claims()), "InvalidIdentityToken"},
		{"claims of another token", parts[0] + "." + strings.Split(issuer.sign("RS256", "r", with(map[string]any{"sub": "other"})), ".")[1] + "." + parts[2], "InvalidIdentityToken"},
		{"not a token", "token", "InvalidIdentityToken"},
		{"two parts", parts[0] + "." + parts[1], "InvalidIdentityToken"},
		{"no subject", issuer.sign("RS256", "r", without("sub")), "InvalidIdentityToken"},
		{"subject in capitals", issuer.sign("RS256", "r", func() map[string]any { c := without("sub"); c["SUB"] = "subject"; return c }()), "InvalidIdentityToken"},
		{"no audience", issuer.sign("RS256", "r", without("aud")), "InvalidIdentityToken"},
		{"no end", issuer.sign("RS256", "r", without("exp")), "InvalidIdentityToken"},
		{"no date", issuer.sign("RS256", "r", without("iat")), "InvalidIdentityToken"},
		{"no issuer", issuer.sign("RS256", "r", without("iss")), "InvalidIdentityToken"},
		{"audience that the provider does not list", issuer.sign("RS256", "r", with(map[string]any{"aud": "other"})), "InvalidIdentityToken"},
		{"authorized party that the provider does not list", issuer.sign("RS256", "r", with(map[string]any{"azp": "other"})), "InvalidIdentityToken"},
		{"two audiences and no party", issuer.sign("RS256", "r", with(map[string]any{"aud": []string{"client", "other"}})), "InvalidIdentityToken"},
		{"issuer without a provider", issuer.sign("RS256", "r", with(map[string]any{"iss": issuerURL + "/"})), "InvalidIdentityToken"},
		{"six minutes after its end", issuer.sign("RS256", "r", with(map[string]any{"exp": now.Add(-6 * time.Minute).Unix()})), "ExpiredTokenException"},
		{"not yet valid", issuer.sign("RS256", "r", with(map[string]any{"nbf": now.Add(10 * time.Minute).Unix()})), "InvalidIdentityToken"},
		{"issued in the future", issuer.sign("RS256", "r", with(map[string]any{"iat": now.Add(10 * time.Minute).Unix()})), "InvalidIdentityToken"},
		{"end as a text", issuer.sign("RS256", "r", with(map[string]any{"exp": "tomorrow"})), "InvalidIdentityToken"},
		{"methods of the wrong type", issuer.sign("RS256", "r", with(map[string]any{"amr": 7})), "IDPRejectedClaim"},

		{"other subject", issuer.sign("RS256", "r", with(map[string]any{"sub": "Subject"})), "AccessDenied"},
		{"other audience of the provider", issuer.sign("RS256", "r", with(map[string]any{"aud": "second"})), "AccessDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := assumeWith(box, role, test.token)
			wantCode(t, err, test.want)
			if err == nil && (*out.SubjectFromWebIdentityToken != "subject" || *out.Audience != "client" || *out.Provider != providerARN || *out.AssumedRoleUser.Arn != "arn:aws:sts::"+owner+":assumed-role/app/pod") {
				t.Errorf("%+v", out)
			}
			if err != nil && strings.Contains(err.Error(), parts[1][:20]) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

// Nothing but the provider of the role's own account counts, and only while it
// is there.
func TestWebIdentityProvidersOfAccounts(t *testing.T) {
	box, issuer, role := federation(t, subjectAndAudience)
	token := issuer.sign("RS256", "r", issuer.claims())
	foreign := box.Account(friend).Role("foreign", federatedTrust(providerARN, subjectAndAudience), nil)
	_, err := assumeWith(box, foreign, token)
	wantCode(t, err, "InvalidIdentityToken")

	// With a provider of its own, the role must trust that one.
	newProvider(t, box, friend, issuerURL, "client")
	_, err = assumeWith(box, foreign, token)
	wantCode(t, err, "AccessDenied")
	own := box.Account(friend).Role("own", federatedTrust("arn:aws:iam::"+friend+":oidc-provider/"+issuerName, subjectAndAudience), nil)
	_, err = assumeWith(box, own, token)
	wantCode(t, err, "")

	// A role that does not exist looks like one that does not trust.
	_, missing := assumeWith(box, "arn:aws:iam::"+owner+":role/missing", token)
	wantCode(t, missing, "AccessDenied")
	if want := "Not authorized to perform sts:AssumeRoleWithWebIdentity"; !strings.Contains(missing.Error(), want) {
		t.Errorf("%v, want %s", missing, want)
	}
	_, err = assumeWith(box, "arn:aws:iam::"+owner+":role/path/app", token)
	wantCode(t, err, "AccessDenied")

	// A provider whose issuer nobody registered.
	newProvider(t, box, owner, "https://unknown.example.com", "client")
	unknown := newIssuer("https://unknown.example.com")
	_, err = assumeWith(box, role, unknown.sign("RS256", "r", unknown.claims()))
	wantCode(t, err, "InvalidIdentityToken")

	admin := iam.NewFromConfig(box.Account(owner).Config())
	if _, err := admin.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String(providerARN)}); err != nil {
		t.Fatal(err)
	}
	_, err = assumeWith(box, role, token)
	wantCode(t, err, "InvalidIdentityToken")
}

// Only an allowed provider of the trust policy counts: neither the account, nor
// everybody's AWS principal, nor another action.
func TestWebIdentityTrust(t *testing.T) {
	for _, test := range []struct{ name, statement, want string }{
		{"provider", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity"`, ""},
		{"account", `"Effect":"Allow","Principal":{"AWS":"` + owner + `"},"Action":"sts:AssumeRoleWithWebIdentity"`, "AccessDenied"},
		{"another action", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRole"`, "AccessDenied"},
		{"another provider", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `s"},"Action":"sts:AssumeRoleWithWebIdentity"`, "AccessDenied"},
		{"federated provider key", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"aws:FederatedProvider":"` + providerARN + `"}}`, ""},
		{"methods", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"ForAnyValue:StringEquals":{"` + issuerName + `:amr":"mfa"}}`, ""},
		{"other methods", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"ForAnyValue:StringEquals":{"` + issuerName + `:amr":"sms"}}`, "AccessDenied"},
		{"session name", `"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"sts:RoleSessionName":"other"}}`, "AccessDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box, issuer, _ := federation(t, subjectAndAudience)
			role := box.Account(owner).Role("tried", `{"Version":"2012-10-17","Statement":{`+test.statement+`}}`, nil)
			claims := issuer.claims()
			claims["amr"] = []string{"pwd", "mfa"}
			_, err := assumeWith(box, role, issuer.sign("RS256", "r", claims))
			wantCode(t, err, test.want)
		})
	}
}

// The session carries the token's tags, source identity and provider, and obeys
// session policies and durations.
func TestWebIdentitySessions(t *testing.T) {
	box, issuer, role := federation(t, subjectAndAudience)
	claims := issuer.claims()
	claims["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"team": []string{"blue"}}, "transitive_tag_keys": []string{"team"}}
	claims["https://aws.amazon.com/source_identity"] = "alice"
	token := issuer.sign("RS256", "r", claims)

	next := box.Account(friend).Role("next", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+owner+`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],
		"Condition":{"StringEquals":{"aws:RequestTag/team":"blue","aws:PrincipalTag/team":"blue","aws:SourceIdentity":"alice","aws:FederatedProvider":"`+providerARN+`","`+issuerName+`:sub":"subject"}}}}`, nil)
	session := func(change func(*sts.AssumeRoleWithWebIdentityInput)) aws.Config {
		t.Helper()
		out, err := assumeWith(box, role, token, change)
		if err != nil {
			t.Fatal(err)
		}
		return box.Config(sandbox.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken})
	}
	assumeNext := func(caller aws.Config) error {
		_, err := sts.NewFromConfig(caller).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &next, RoleSessionName: aws.String("next")})
		return err
	}
	full := session(func(*sts.AssumeRoleWithWebIdentityInput) {})
	wantCode(t, assumeNext(full), "")
	wantCode(t, assumeNext(session(func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	})), "AccessDenied")
	who, err := sts.NewFromConfig(full).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:sts::"+owner+":assumed-role/app/pod" {
		t.Errorf("%+v, %v", who, err)
	}

	for _, test := range []struct {
		name, want string
		change     func(*sts.AssumeRoleWithWebIdentityInput)
	}{
		{"longer than the role allows", "ValidationError", func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = aws.Int32(7200) }},
		{"too short", "ValidationError", func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = aws.Int32(60) }},
		{"not a role", "ValidationError", func(in *sts.AssumeRoleWithWebIdentityInput) {
			in.RoleArn = aws.String("arn:aws:iam::111111111111:user/x")
		}},
		{"session name", "ValidationError", func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleSessionName = aws.String("a b") }},
		{"managed policy of nobody", "ValidationError", func(in *sts.AssumeRoleWithWebIdentityInput) {
			in.PolicyArns = []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::111111111111:policy/missing")}}
		}},
		{"a provider's name", "NotImplemented", func(in *sts.AssumeRoleWithWebIdentityInput) { in.ProviderId = aws.String("www.amazon.com") }},
	} {
		_, err := assumeWith(box, role, token, test.change)
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}

	// Tags need sts:TagSession, and a source identity sts:SetSourceIdentity.
	bare := box.Account(owner).Role("bare", strings.Replace(federatedTrust(providerARN, subjectAndAudience), `"sts:TagSession",`, "", 1), nil)
	_, err = assumeWith(box, bare, token)
	wantCode(t, err, "AccessDenied")
	delete(claims, "https://aws.amazon.com/tags")
	_, err = assumeWith(box, bare, issuer.sign("RS256", "r", claims))
	wantCode(t, err, "")
	bare = box.Account(owner).Role("barer", strings.Replace(federatedTrust(providerARN, subjectAndAudience), `,"sts:SetSourceIdentity"`, "", 1), nil)
	_, err = assumeWith(box, bare, issuer.sign("RS256", "r", claims))
	wantCode(t, err, "AccessDenied")
	claims["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"team": []string{"blue", "red"}}}
	_, err = assumeWith(box, role, issuer.sign("RS256", "r", claims))
	wantCode(t, err, "IDPRejectedClaim")
}

// Providers through IAM's API: what is kept, AWS's limits and errors, and that
// another account's administrator cannot touch them.
func TestOpenIDConnectProviders(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	client := iam.NewFromConfig(box.Account(owner).User("admin", allowAll))
	created, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String(issuerURL), ClientIDList: []string{"client"}, ThumbprintList: []string{strings.Repeat("AB", 20)}, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}},
	})
	if err != nil || *created.OpenIDConnectProviderArn != providerARN {
		t.Fatalf("%+v, %v", created, err)
	}
	arn := created.OpenIDConnectProviderArn
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("second")})
	must(err)
	_, err = client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("second")})
	must(err)
	_, err = client.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("client")})
	must(err)
	_, err = client.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{strings.Repeat("cd", 20)}})
	must(err)
	_, err = client.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: []iamtypes.Tag{{Key: aws.String("stage"), Value: aws.String("prod")}}})
	must(err)
	_, err = client.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"team"}})
	must(err)
	got, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	must(err)
	if *got.Url != issuerName || !cmp.Equal(got.ClientIDList, []string{"second"}) || !cmp.Equal(got.ThumbprintList, []string{strings.Repeat("cd", 20)}) || len(got.Tags) != 1 || *got.Tags[0].Key != "stage" || got.CreateDate == nil {
		t.Errorf("%+v", got)
	}
	tags, err := client.ListOpenIDConnectProviderTags(ctx, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: arn})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("%+v, %v", tags, err)
	}
	list, err := client.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil || len(list.OpenIDConnectProviderList) != 1 || *list.OpenIDConnectProviderList[0].Arn != providerARN {
		t.Errorf("%+v, %v", list, err)
	}

	create := func(change func(*iam.CreateOpenIDConnectProviderInput)) error {
		in := &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://other.example.com")}
		change(in)
		_, err := client.CreateOpenIDConnectProvider(ctx, in)
		return err
	}
	for _, test := range []struct {
		name, want string
		change     func(*iam.CreateOpenIDConnectProviderInput)
	}{
		{"same issuer", "EntityAlreadyExists", func(in *iam.CreateOpenIDConnectProviderInput) { in.Url = aws.String(issuerURL) }},
		{"http", "InvalidInput", func(in *iam.CreateOpenIDConnectProviderInput) { in.Url = aws.String("http://other.example.com") }},
		{"with a query", "InvalidInput", func(in *iam.CreateOpenIDConnectProviderInput) { in.Url = aws.String("https://other.example.com?x=1") }},
		{"long", "ValidationError", func(in *iam.CreateOpenIDConnectProviderInput) {
			in.Url = aws.String("https://other.example.com/" + strings.Repeat("x", 240))
		}},
		{"101 clients", "LimitExceeded", func(in *iam.CreateOpenIDConnectProviderInput) {
			in.ClientIDList = strings.Fields(strings.Repeat("client ", 101))
		}},
		{"long client", "ValidationError", func(in *iam.CreateOpenIDConnectProviderInput) { in.ClientIDList = []string{strings.Repeat("x", 256)} }},
		{"six thumbprints", "InvalidInput", func(in *iam.CreateOpenIDConnectProviderInput) {
			in.ThumbprintList = strings.Fields(strings.Repeat(strings.Repeat("ab", 20)+" ", 6))
		}},
		{"short thumbprint", "ValidationError", func(in *iam.CreateOpenIDConnectProviderInput) { in.ThumbprintList = []string{"abc"} }},
		{"another letter case is another issuer", "", func(in *iam.CreateOpenIDConnectProviderInput) { in.Url = aws.String("https://idp.example.com/Tenant") }},
	} {
		if got := code(t, create(test.change)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for _, test := range []struct{ name, arn, want string }{
		{"missing", "arn:aws:iam::" + owner + ":oidc-provider/missing.example.com", "NoSuchEntity"},
		{"not a provider", "arn:aws:iam::" + owner + ":role/x-y-z", "InvalidInput"},
		{"of another account", strings.Replace(providerARN, owner, friend, 1), "AccessDenied"},
	} {
		_, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &test.arn})
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	stranger := iam.NewFromConfig(box.Account(friend).User("admin", allowAll))
	_, err = stranger.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	wantCode(t, err, "AccessDenied")
	for range 2 { // it is gone after the first, which is no error
		_, err = client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
		must(err)
	}
	_, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	wantCode(t, err, "NoSuchEntity")
}

// Bad keys are refused when they are registered.
func TestRegisterIssuerRefuses(t *testing.T) {
	box := sandboxtest.New(t, owner)
	_, clusterIssuer := newCluster(t, box, owner, "live")
	keys := newIssuer(issuerURL).keySet()
	for _, test := range []struct {
		name, url string
		keys      []byte
		want      string
	}{
		{"http", "http://idp.example.com", keys, "https"},
		{"not JSON", issuerURL, []byte("keys"), "JSON Web Key Set"},
		{"no keys", issuerURL, []byte(`{"keys":[]}`), "no RSA and no EC key"},
		{"only a secret", issuerURL, []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`), "no RSA and no EC key"},
		{"for encryption", issuerURL, []byte(strings.ReplaceAll(strings.ReplaceAll(string(keys), `"use":"sig"`, `"use":"enc"`), `"kty":"EC"`, `"kty":"OKP"`)), "no RSA and no EC key"},
		{"short key", issuerURL, []byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`), "2048"},
		{"not on the curve", issuerURL, []byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`), "key 1"},
		{"of a cluster", clusterIssuer, keys, "belongs to an EKS cluster"},
	} {
		if err := box.RegisterIssuer(test.url, test.keys); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// The keys of a cluster can be fetched where its issuer says they are, and from
// the sandbox's port.
func TestClusterIssuerServesItsKeys(t *testing.T) {
	box := sandboxtest.New(t, owner)
	arn, issuer := newCluster(t, box, owner, "live")
	get := func(client *http.Client, url string) (int, []byte) {
		t.Helper()
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, body
	}
	_, body := get(box.Client(), issuer+"/.well-known/openid-configuration")
	var configuration struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &configuration); err != nil || configuration.Issuer != issuer {
		t.Fatalf("%s, %v", body, err)
	}
	_, keys := get(box.Client(), configuration.Keys)
	path := issuer[strings.Index(issuer, "/id/"):]
	if _, served := get(http.DefaultClient, box.Serve()+path+"/keys"); string(served) != string(keys) {
		t.Errorf("the port serves %s, want %s", served, keys)
	}

	// Another sandbox that is told the keys verifies the cluster's tokens.
	other := sandboxtest.New(t, friend)
	if err := other.RegisterIssuer(issuer, keys); err != nil {
		t.Fatal(err)
	}
	newProvider(t, other, friend, issuer, "sts.amazonaws.com")
	provider := "arn:aws:iam::" + friend + ":oidc-provider/" + strings.TrimPrefix(issuer, "https://")
	role := other.Account(friend).Role("app", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity"}}`, nil)
	_, err := assumeWith(other, role, serviceAccountToken(t, box, sandbox.ServiceAccount{Cluster: arn, Namespace: "reports", Name: "reader"}))
	wantCode(t, err, "")

	if status, _ := get(box.Client(), issuer+"/other"); status != http.StatusNotFound {
		t.Errorf("status %d for another document of the issuer", status)
	}
	if status, body := get(box.Client(), strings.Replace(issuer, "/id/", "/id/A", 1)+"/keys"); status == http.StatusOK {
		t.Errorf("an unknown issuer has keys: %s", body)
	}
}
