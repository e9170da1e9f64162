package world_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/world"
)

// Every error names the place and the rule.
func TestReadRefuses(t *testing.T) {
	const trust = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}}`
	for name, test := range map[string]struct{ text, want string }{
		"empty":             {``, `unexpected end of the file`},
		"not an object":     {`[]`, `a world must be an object`},
		"cut off":           {`{"format": 1, "roles": [{`, `unexpected end of the file`},
		"trailing text":     {`{"format": 1} {}`, `line 1, column 15: unexpected text after the end of the world`},
		"no format":         {`{}`, `format: is 0; this version reads format 1`},
		"another format":    {`{"format": 2}`, `line 1, column 12: format: is 2`},
		"unknown field":     {"{\"format\": 1,\n \"role\": []}", `line 2, column 10: role: is no field of a world; the fields are format, organizations`},
		"field twice":       {`{"format": 1, "format": 1}`, `the field "format" is there twice`},
		"unknown inside":    {`{"format": 1, "accounts": [{"id": "111111111111", "title": "x"}]}`, `line 1, column 51: accounts[0].title: is no field here; the fields are id, name, partition, complete`},
		"twice inside":      {`{"format": 1, "accounts": [{"id": "111111111111", "id": "111111111111"}]}`, `accounts[0].id: is there twice`},
		"missing":           {`{"format": 1, "accounts": [{}]}`, `accounts[0].id: is missing`},
		"wrong type":        {`{"format": 1, "accounts": [{"id": 111111111111}]}`, `accounts[0].id: must be a string, not a number`},
		"account id":        {"{\"format\": 1, \"accounts\": [\n{\"id\": \"12\"}]}", `line 2, column 8: accounts[0].id: `},
		"account twice":     {`{"format": 1, "accounts": [{"id": "111111111111"}, {"id": "111111111111"}]}`, `accounts[1]: account "111111111111" is already at accounts[0]; list it once`},
		"complete":          {`{"format": 1, "accounts": [{"id": "111111111111", "complete": ["roles"]}]}`, `accounts[0].complete[0]: "roles" is neither principals nor resources`},
		"policy problem":    {"{\"format\": 1, \"roles\": [{\"arn\": \"arn:aws:iam::111111111111:role/r\",\n \"trust\": {\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Maybe\"}}}]}", `line 2, column 61: roles[0].trust.Statement[0].Effect: `},
		"policy kind":       {`{"format": 1, "roles": [{"arn": "arn:aws:iam::111111111111:role/r", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}]}`, `roles[0].trust.Statement[0]`},
		"role ARN":          {`{"format": 1, "roles": [{"arn": "arn:aws:iam::111111111111:user/r", "trust": ` + trust + `}]}`, `roles[0].arn: `},
		"role without":      {`{"format": 1, "roles": [{"arn": "arn:aws:iam::111111111111:role/r"}]}`, `roles[0].trust: is missing`},
		"tag value":         {`{"format": 1, "users": [{"arn": "arn:aws:iam::111111111111:user/u", "tags": {"a": 1}}]}`, `users[0].tags.a: must be a string, not a number`},
		"bucket owner":      {`{"format": 1, "resources": [{"arn": "arn:aws:s3:::b"}]}`, `resources[0].account: must be given, because the ARN does not say whose resource it is`},
		"two owners":        {`{"format": 1, "resources": [{"arn": "arn:aws:sqs:eu-west-1:111111111111:q", "account": "222222222222"}]}`, `resources[0].account: is 222222222222, but the ARN says 111111111111`},
		"role as resource":  {`{"format": 1, "resources": [{"arn": "arn:aws:iam::111111111111:role/r"}]}`, `resources[0].arn: is a role; list it under roles`},
		"empty SCPs":        {`{"format": 1, "organizations": [{"id": "o-abcd", "root": {"id": "r-abcd", "service_control": []}}]}`, `organizations[0].root.service_control: is empty`},
		"unit as root":      {`{"format": 1, "organizations": [{"id": "o-abcd", "root": {"id": "ou-abcd-12345678"}}]}`, `organizations[0].root.id: "ou-abcd-12345678" is not the id of a root`},
		"account in two":    {`{"format": 1, "organizations": [{"id": "o-abcd", "root": {"id": "r-abcd", "accounts": [{"id": "111111111111"}], "units": [{"id": "ou-abcd-12345678", "accounts": [{"id": "111111111111"}]}]}}]}`, `organizations[0].root.units[0].accounts[0]: account in an organisation "111111111111" is already at`},
		"private character": {"{\"format\": 1, \"users\": [{\"arn\": \"arn:aws:iam::111111111111:user/u\", \"inline\": [{\"name\": \"p\", \"document\": {\"Version\": \"2012-10-17\", \"Statement\": {\"Sid\": \"" + iam.Symbol("x") + "\", \"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"}}}]}]}", `users[0].inline[0].document`},
	} {
		_, err := world.Read(strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestWriteIsDeterministicAndComplete(t *testing.T) {
	s, err := world.Read(strings.NewReader(twoAccounts))
	if err != nil {
		t.Fatal(err)
	}
	var once, twice bytes.Buffer
	if err := s.Write(&once); err != nil {
		t.Fatal(err)
	}
	again, err := world.Read(bytes.NewReader(once.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(&twice); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(once.String(), twice.String()); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"AIDAANNANNANNANNANNA", `"team": "red"`, "p-region00", "o-customer01", "kms_key", "sesame", "group/people/readers"} {
		if !strings.Contains(once.String(), text) {
			t.Errorf("%q was dropped", text)
		}
	}
	again.Roles[0].Trust = world.Document{}
	if err := again.Write(&twice); err == nil {
		t.Error("a role without a trust policy was written")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(twoAccounts))
	f.Add([]byte(`{"format": 1, "roles": [{"arn": "x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := world.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if err := s.Write(&once); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := world.Read(bytes.NewReader(once.Bytes()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if err := again.Write(&twice); err != nil || once.String() != twice.String() {
			t.Fatalf("writing twice differs (%v)", err)
		}
		w, err := world.Compile(s)
		if err != nil {
			return // eval.Compile refuses more, such as principals without a meaning
		}
		if _, err := w.WhoCan(world.Question{Action: "sts:AssumeRole", Resource: "arn:aws:iam::222222222222:role/vendor-access"}, world.WhoCanOptions{Chains: true}); err != nil {
			t.Fatal(err)
		}
	})
}
