package lint_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
)

var update = flag.Bool("update", false, "write the findings that were found into testdata")

// own is the account that all test documents belong to.
const own iam.AccountID = "111122223333"

// A document in testdata is a file NAME.KIND.json of a txtar archive, and its
// findings are NAME.KIND.want. KIND is the policy's kind, for a resource policy
// resource-SERVICE; +cross and +inline set these options, "auto" leaves the kind
// to be found out. NAME.KIND.options has further options in JSON.
func optionsOf(t *testing.T, file string, archive *txtar.Archive) lint.Options {
	t.Helper()
	o := optionsOfName(t, file)
	for _, f := range archive.Files {
		if f.Name == strings.TrimSuffix(file, ".json")+".options" {
			d := json.NewDecoder(bytes.NewReader(f.Data))
			d.DisallowUnknownFields()
			if err := d.Decode(&o); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
	}
	return o
}

func optionsOfName(t *testing.T, file string) lint.Options {
	t.Helper()
	parts := strings.Split(strings.TrimSuffix(file, ".json"), ".")
	if len(parts) != 2 {
		t.Fatalf("%s: want NAME.KIND.json", file)
	}
	o := lint.Options{Account: own}
	words := strings.Split(parts[1], "+")
	for _, word := range words[1:] {
		switch word {
		case "cross":
			o.CrossAccount = true
		case "inline":
			o.Inline = true
		default:
			t.Fatalf("%s: unknown option %q", file, word)
		}
	}
	kind, service, _ := strings.Cut(words[0], "-")
	o.Service = service
	kinds := map[string]iam.Kind{
		"identity": iam.KindIdentity, "resource": iam.KindResource, "trust": iam.KindTrust, "boundary": iam.KindBoundary,
		"session": iam.KindSession, "scp": iam.KindServiceControl, "rcp": iam.KindResourceControl, "endpoint": iam.KindEndpoint,
	}
	if kind == "auto" {
		return lint.Options{}
	}
	if o.Kind = kinds[kind]; o.Kind == 0 {
		t.Fatalf("%s: unknown kind %q", file, kind)
	}
	return o
}

func render(findings []lint.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		line := f.String()
		if f.Refused {
			line += " [refused]"
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// eachDocument runs all documents of an archive and compares their findings.
func eachDocument(t *testing.T, path string, visit func(t *testing.T, name string, findings []lint.Finding)) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
			want[name] = string(f.Data)
		}
	}
	var updated []txtar.File
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".json")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			findings := lint.Document(f.Data, optionsOf(t, f.Name, archive))
			got := render(findings)
			updated = append(updated, f)
			for _, other := range archive.Files {
				if other.Name == name+".options" || other.Name == name+".page" {
					updated = append(updated, other)
				}
			}
			updated = append(updated, txtar.File{Name: name + ".want", Data: []byte(got)})
			if !*update {
				if diff := cmp.Diff(want[name], got); diff != "" {
					t.Errorf("findings (-want +got):\n%s", diff)
				}
			}
			visit(t, name, findings)
		})
	}
	if *update && !t.Failed() {
		archive.Files = updated
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Every rule has an archive with a document it finds something in and one it
// finds nothing in, so that no rule can be removed or widened unnoticed.
func TestRules(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join("testdata", "rules", "*.txtar"))
	if err != nil || len(archives) != len(lint.Rules()) {
		t.Errorf("%d archives for %d rules (%v)", len(archives), len(lint.Rules()), err)
	}
	for _, rule := range lint.Rules() {
		t.Run(rule.ID, func(t *testing.T) {
			if rule.Title == "" || rule.Why == "" || rule.Fix == "" || !strings.HasPrefix(rule.Link, "https://docs.aws.amazon.com/") {
				t.Errorf("incomplete rule %+v", rule)
			}
			bad, good, worst := 0, 0, lint.Severity(0)
			eachDocument(t, filepath.Join("testdata", "rules", rule.ID+".txtar"), func(t *testing.T, name string, findings []lint.Finding) {
				found := false
				for _, f := range findings {
					found = found || f.ID == rule.ID
					if f.ID == rule.ID {
						worst = max(worst, f.Severity)
					}
				}
				switch isBad := strings.HasPrefix(name, "bad"); {
				case isBad && !found:
					t.Errorf("%s was not found", rule.ID)
				case !isBad && (found || lint.Worst(findings) >= lint.Warning):
					t.Errorf("a good document has findings:\n%s", render(findings))
				case isBad:
					bad++
				default:
					good++
				}
			})
			if !t.Failed() && (bad == 0 || good == 0) {
				t.Errorf("%d bad and %d good documents, want at least one of each", bad, good)
			}
			if worst != rule.Severity {
				t.Errorf("the worst finding is of severity %v, but the rule says %v", worst, rule.Severity)
			}
		})
	}
}

// Documents like those in AWS's documentation have no findings that anybody
// would have to act on.
func TestGood(t *testing.T) {
	count := 0
	eachArchive(t, "good", func(t *testing.T, name string, findings []lint.Finding) {
		count++
		if lint.Worst(findings) >= lint.Warning {
			t.Errorf("findings in a good document:\n%s", render(findings))
		}
	})
	if count < 120 {
		t.Errorf("only %d well-formed policies", count)
	}
}

// The mistakes that documents about cross-account access typically contain.
func TestFixtures(t *testing.T) {
	eachArchive(t, "fixtures", func(t *testing.T, name string, findings []lint.Finding) {
		if len(findings) == 0 {
			t.Error("nothing found")
		}
	})
}

func eachArchive(t *testing.T, directory string, visit func(t *testing.T, name string, findings []lint.Finding)) {
	paths, err := filepath.Glob(filepath.Join("testdata", directory, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no archives in %s (%v)", directory, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { eachDocument(t, path, visit) })
	}
}

func TestSuppressions(t *testing.T) {
	document := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole"}]}`)
	o := lint.Options{Kind: iam.KindTrust}
	const found, unusable, unused = "GX-T02", "GX-X01", "GX-X02"
	tests := []struct {
		suppression lint.Suppression
		left        string // ids of the findings
	}{
		{lint.Suppression{ID: "GX-T02", Reason: "read-only access for the whole account is meant"}, ""},
		{lint.Suppression{ID: "GX-T02", Path: "Statement[0]", Reason: "meant"}, ""},
		{lint.Suppression{ID: "GX-T02", Path: "Statement[0].Principal.AWS[0]", Reason: "meant"}, ""},
		{lint.Suppression{ID: "GX-T02", Path: "Statement[*].Principal", Reason: "meant"}, ""},
		{lint.Suppression{ID: "GX-T02", Path: "*.AWS[0]", Reason: "meant"}, ""},
		{lint.Suppression{ID: "GX-T02", Path: "Statement[1]", Reason: "meant"}, unused + " " + found},
		{lint.Suppression{ID: "GX-T02", Path: "State", Reason: "meant"}, unused + " " + found},
		{lint.Suppression{ID: "GX-T01", Reason: "meant"}, unused + " " + found},
		{lint.Suppression{ID: "GX-T01", Reason: "meant", Optional: true}, found},
		{lint.Suppression{}, unusable + " " + found},
		{lint.Suppression{Reason: "meant"}, unusable + " " + found},
		{lint.Suppression{ID: "GX-T99", Reason: "meant"}, unusable + " " + found},
		{lint.Suppression{ID: "GX-X02", Reason: "meant"}, unusable + " " + found},
		{lint.Suppression{ID: "GX-T02"}, unusable + " " + found},
		{lint.Suppression{ID: "GX-T02", Reason: " "}, unusable + " " + found},
	}
	for _, test := range tests {
		o.Suppressions = []lint.Suppression{test.suppression}
		findings := lint.Document(document, o)
		var ids []string
		for _, f := range findings {
			ids = append(ids, f.ID)
		}
		if got := strings.Join(ids, " "); got != test.left {
			t.Errorf("with %+v %q is left, want %q:\n%s", test.suppression, got, test.left, render(findings))
		}
	}
}

// Whoever lints several documents with one list learns what was accepted, and
// why.
func TestSuppress(t *testing.T) {
	document := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole"}]}`)
	findings := lint.Document(document, lint.Options{Kind: iam.KindTrust})
	why := lint.Suppression{ID: "GX-T02", Path: "Statement[0]", Reason: "meant"}
	left, suppressed := lint.Suppress(findings, []lint.Suppression{why, {ID: "GX-T02", Reason: "the same again"}})
	if len(left) != 0 || len(suppressed) != 1 || suppressed[0].By != why || suppressed[0].Position.Line != 1 {
		t.Errorf("left %v, suppressed %+v", left, suppressed)
	}
	if err := (lint.Suppression{ID: "GX-T20", Reason: "x"}).Check(); err == nil || !strings.Contains(err.Error(), "did you mean") {
		t.Errorf("an unknown rule: %v", err)
	}
}

// A symbol may be anything, so it must not be the cause of a finding.
func TestSymbols(t *testing.T) {
	partition, account, bucket, id := iam.Symbol("AWS::Partition"), iam.Symbol("AWS::AccountId"), iam.Symbol("Bucket"), iam.Symbol("ExternalId")
	whole := iam.Symbol("Everything")
	policies := map[string]struct {
		kind iam.Kind
		s    iam.Statement
	}{
		"object":   {iam.KindIdentity, iam.Statement{Action: []string{"s3:GetObject"}, Resource: []string{"arn:" + partition + ":s3:::" + bucket + "/*"}}},
		"bucket":   {iam.KindIdentity, iam.Statement{Action: []string{"s3:ListBucket"}, Resource: []string{"arn:" + partition + ":s3:::" + bucket}}},
		"open end": {iam.KindIdentity, iam.Statement{Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::" + bucket}}},
		"arn":      {iam.KindIdentity, iam.Statement{Action: []string{"s3:GetObject", "sqs:SendMessage"}, Resource: []string{whole}}},
		"arn end":  {iam.KindIdentity, iam.Statement{Action: []string{"s3:GetObject"}, Resource: []string{whole + "/*"}}},
		"action":   {iam.KindIdentity, iam.Statement{Action: []string{whole, "s3:" + whole, whole + ":GetObject"}, Resource: []string{"arn:aws:s3:::b/*"}}},
		"list":     {iam.KindIdentity, iam.Statement{Action: []string{"ssm:DescribeParameters"}, Resource: []string{whole}}},
		"role":     {iam.KindIdentity, iam.Statement{Action: []string{"iam:GetRole"}, Resource: []string{"arn:" + partition + ":iam::" + account + ":role/x/" + whole}}},
		"region":   {iam.KindIdentity, iam.Statement{Action: []string{"sqs:SendMessage"}, Resource: []string{"arn:aws:sqs:" + whole + ":" + account + ":" + whole}}},
		"trust": {iam.KindTrust, iam.Statement{
			Principal: &iam.Principals{AWS: []string{"arn:" + partition + ":iam::" + account + ":root"}}, Action: []string{"sts:AssumeRole"},
			Conditions: []iam.Condition{{Operator: "StringEquals", Key: "sts:ExternalId", Values: []string{id, iam.Symbol("PreviousExternalId")}}},
		}},
		"own account": {iam.KindTrust, iam.Statement{
			Principal: &iam.Principals{AWS: []string{"arn:" + partition + ":iam::" + account + ":root"}}, Action: []string{"sts:AssumeRole"},
		}},
		"principal": {iam.KindTrust, iam.Statement{
			Principal: &iam.Principals{AWS: []string{whole}, Service: []string{"ec2." + iam.Symbol("AWS::URLSuffix")}}, Action: []string{"sts:AssumeRole"},
		}},
		"values": {iam.KindTrust, iam.Statement{
			Principal: &iam.Principals{AWS: []string{"444455556666"}}, Action: []string{"sts:AssumeRole"},
			Conditions: []iam.Condition{
				{Operator: "ArnLike", Key: "aws:PrincipalArn", Values: []string{whole}},
				{Operator: "Bool", Key: "aws:MultiFactorAuthPresent", Values: []string{whole}},
				{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{whole + "/32"}},
				{Operator: "NumericLessThan", Key: "aws:MultiFactorAuthAge", Values: []string{whole}},
				{Operator: "DateLessThan", Key: "aws:CurrentTime", Values: []string{whole}},
				{Operator: "StringEquals", Key: "aws:PrincipalTag/" + whole, Values: []string{"x"}},
				{Operator: "StringEquals", Key: whole + ":thing", Values: []string{"x"}},
			},
		}},
		"web identity": {iam.KindTrust, iam.Statement{
			Principal: &iam.Principals{Federated: []string{"arn:" + partition + ":iam::" + account + ":oidc-provider/" + whole}}, Action: []string{"sts:AssumeRoleWithWebIdentity"},
			Conditions: []iam.Condition{
				{Operator: "StringEquals", Key: whole + ":sub", Values: []string{"system:serviceaccount:a:b"}},
				{Operator: "StringEquals", Key: whole + ":aud", Values: []string{"sts.amazonaws.com"}},
			},
		}},
	}
	for name, p := range policies {
		t.Run(name, func(t *testing.T) {
			p.s.Effect = iam.Allow
			for _, o := range []lint.Options{{Kind: p.kind}, {Kind: p.kind, Account: own}} {
				policy := &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{p.s}}
				if findings := lint.Policy(policy, o); len(findings) > 0 {
					t.Errorf("with %+v:\n%s", o, render(findings))
				}
			}
		})
	}
}

// What a template fills in may be the boundary and the path that are required.
func TestSymbolsOfRoles(t *testing.T) {
	document := []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	o := lint.Options{Kind: iam.KindTrust, RequiredBoundary: "arn:aws:iam::111122223333:policy/boundary", RequiredPath: "/app/"}
	o.Role = &lint.Role{Path: iam.Symbol("Path"), Boundary: iam.Symbol("Boundary")}
	if findings := lint.Document(document, o); len(findings) > 0 {
		t.Errorf("findings about symbols:\n%s", render(findings))
	}
}

// An external ID must not be in any finding.
func TestNoExternalIDInFindings(t *testing.T) {
	for _, secret := range []string{"s3cr3t-*-value", "s3cr3t value", "s3cr3t"} {
		for _, operator := range []string{"StringEquals", "StringLike", "Bool", "NumericEquals", "DateEquals", "IpAddress", "ArnEquals", "ForAllValues:StringEquals", "StringEqualsIfExists", "Null", "SringEquals"} {
			document := fmt.Sprintf(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole","Condition":{%q:{"sts:ExternalId":%q}}}]}`, operator, secret)
			for _, f := range lint.Document([]byte(document), lint.Options{Kind: iam.KindTrust}) {
				if strings.Contains(fmt.Sprintf("%+v", f), "s3cr3t") {
					t.Errorf("%s: the external ID is in %+v", operator, f)
				}
			}
		}
	}
}

// Text is checked character by character; so are policies that were built.
func TestCharactersOfBuiltPolicies(t *testing.T) {
	statement := func(sid, resource, value string) *iam.Policy {
		return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
			Sid: sid, Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{resource},
			Conditions: []iam.Condition{{Operator: "StringEquals", Key: "aws:PrincipalTag/team", Values: []string{value}}},
		}}}
	}
	good := statement("Read", "arn:aws:s3:::b/é/"+iam.Symbol("Prefix"), "x")
	if findings := lint.Policy(good, lint.Options{}); len(findings) > 0 {
		t.Errorf("a good policy has findings:\n%s", render(findings))
	}
	for name, p := range map[string]*iam.Policy{
		"resource":  statement("Read", "arn:aws:s3:::b/☃/*", "x"),
		"condition": statement("Read", "arn:aws:s3:::b/*", "“x”"),
		"control":   statement("Read", "arn:aws:s3:::b/\x07*", "x"),
	} {
		findings := lint.Policy(p, lint.Options{})
		if len(findings) != 1 || findings[0].ID != "GX-S01" || !findings[0].Refused {
			t.Errorf("%s: want one GX-S01, got:\n%s", name, render(findings))
		}
		if findings := lint.Policy(p, lint.Options{Kind: iam.KindResource, Service: "s3"}); len(findings) > 0 && findings[0].ID == "GX-S01" {
			t.Errorf("%s: the character set is IAM's, not that of a bucket policy:\n%s", name, render(findings))
		}
	}
}

// A policy that was built is judged like its text.
func TestPolicyAndDocumentAgree(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if !strings.HasSuffix(f.Name, ".json") {
				continue
			}
			p, err := iam.ParsePolicy(f.Data)
			if err != nil {
				continue
			}
			o := optionsOf(t, f.Name, archive)
			if diff := cmp.Diff(render(lint.Document(f.Data, o)), render(lint.Policy(p, o))); diff != "" && !strings.Contains(diff, "cannot stand in a policy") {
				t.Errorf("%s: %s (-document +policy):\n%s", path, f.Name, diff)
			}
		}
	}
}

// fuzzOptions know all there is to know.
var fuzzOptions = lint.Options{
	Resource: "arn:aws:events:eu-west-1:111122223333:event-bus/central", ReadOnly: true, RecreatedRoles: true,
	Consumers: []iam.AccountID{"444455556666"}, OrganizationID: "o-a1b2c3d4e5", OrganizationAccounts: []iam.AccountID{own},
	StateMachine: "arn:aws:states:eu-west-1:444455556666:stateMachine:orders", RequiredPath: "/app/", Role: &lint.Role{},
	RequiredBoundary: "arn:aws:iam::111122223333:policy/boundary",
	Suppressions:     []lint.Suppression{{ID: "GX-T02", Path: "Statement[*]", Reason: "meant"}},
}

func FuzzDocument(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".json") {
				f.Add(file.Data, len(f.Name())%8+1)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind int) {
		for _, o := range []lint.Options{{Kind: iam.Kind(kind)}, {Kind: iam.Kind(kind), Account: own, CrossAccount: true, Service: "s3"}, {}, fuzzOptions} {
			for _, finding := range lint.Document(data, o) {
				if finding.ID == "" || finding.Severity == 0 || finding.Message == "" || finding.Position.Offset > len(data) {
					t.Errorf("incomplete finding %+v", finding)
				}
			}
		}
	})
}

// BenchmarkPolicy judges a thousand policies: the well-formed ones of testdata
// again and again, each as the kind it is.
func BenchmarkPolicy(b *testing.B) {
	const count = 1000
	type job struct {
		policy  *iam.Policy
		options lint.Options
	}
	var jobs []job
	paths, err := filepath.Glob(filepath.Join("testdata", "good", "*.txtar"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range archive.Files {
			if p, err := iam.ParsePolicy(f.Data); strings.HasSuffix(f.Name, ".json") && err == nil {
				jobs = append(jobs, job{p, lint.Options{Account: own}})
			}
		}
	}
	for b.Loop() {
		for i := range count {
			j := jobs[i%len(jobs)]
			lint.Policy(j.policy, j.options)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*count), "µs/policy")
}

// BenchmarkLength shows that the work grows with the policy and no faster.
func BenchmarkLength(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		p := &iam.Policy{Version: iam.Version2012}
		for i := range n {
			p.Statements = append(p.Statements, iam.Statement{
				Sid: fmt.Sprintf("S%d", i), Effect: iam.Allow,
				Action:     []string{"s3:GetObject", "s3:Put*", "sqs:SendMessage"},
				Resource:   []string{fmt.Sprintf("arn:aws:s3:::bucket-%d/*", i), fmt.Sprintf("arn:aws:sqs:eu-west-1:111122223333:queue-%d", i)},
				Conditions: []iam.Condition{{Operator: "StringEquals", Key: "aws:ResourceTag/team", Values: []string{"a"}}, {Operator: "StringLike", Key: "aws:RequestedRegion", Values: []string{"eu-*"}}},
			})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				lint.Policy(p, lint.Options{Kind: iam.KindIdentity, Account: own})
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/statement")
		})
	}
}
