package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/internal/cli"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	consumerID = "111122223333"
	producerID = "444455556666"
	readerARN  = "arn:aws:iam::" + consumerID + ":role/reader"
	vendorARN  = "arn:aws:iam::" + producerID + ":role/vendor"
	secretID   = "Example-7f3a91"
)

func document(statement string) string {
	return `{"Version":"2012-10-17","Statement":[` + statement + `]}`
}

// twoAccounts makes a consumer with the user anna, who may become the role
// reader, and a producer with a bucket that lets the reader read part of it and
// a role that demands an external ID. It returns anna's credentials.
func twoAccounts(t *testing.T) (*sandboxtest.Sandbox, sandbox.Credentials) {
	t.Helper()
	box := sandboxtest.New(t, consumerID, producerID)
	anna := box.Account(consumerID).UserCredentials("anna", document(`{"Sid":"Become","Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`))
	box.Account(consumerID).Role("reader", document(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+consumerID+`:user/anna"},"Action":"sts:AssumeRole"}`),
		[]string{document(`{"Sid":"ReadData","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data-4444/*"}`)})
	box.Account(producerID).Role("vendor", document(`{"Sid":"Vendor","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+consumerID+`:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"`+secretID+`"}}}`), nil)
	storage, ctx := s3.NewFromConfig(box.Account(producerID).Config()), t.Context()
	bucket := aws.String("data-4444")
	if _, err := storage.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"public/a.txt", "private/a.txt"} {
		if _, err := storage.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := storage.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(document(
		`{"Sid":"Partner","Effect":"Allow","Principal":{"AWS":"` + readerARN + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::data-4444/public/*"}`))}); err != nil {
		t.Fatal(err)
	}
	return box, anna
}

// collected is a world made as docs/understanding.md says: with the aws command
// against the two accounts.
func collected(t *testing.T, box *sandboxtest.Sandbox) string {
	t.Helper()
	command, url, dir := testenv.Tool(t, "aws"), box.Serve(), t.TempDir()
	output := func(account, file string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), command, append(args, "--output", "json")...)
		c.Env = box.Environment(url, box.Account(account).Root())
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, errs.Bytes())
		}
		name := filepath.Join(dir, file)
		if err := os.WriteFile(name, out, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	consumer := output(consumerID, "consumer.json", "iam", "get-account-authorization-details")
	producer := output(producerID, "producer.json", "iam", "get-account-authorization-details")
	bucket := output(producerID, "bucket.json", "s3api", "get-bucket-policy", "--bucket", "data-4444")
	made := filepath.Join(dir, "world.json")
	if code, _, errs := run(t, "", "world", "import", "--world", made, consumer, producer, "arn:aws:s3:::data-4444="+bucket, "--owner", producerID); code != cli.ExitDone {
		t.Fatalf("world import: exit code %d\n%s", code, errs)
	}
	return made
}

// From what the aws command prints to answers. The aws command takes seconds to
// start, so the world is collected once.
func TestWorldFromCommandLine(t *testing.T) {
	box, anna := twoAccounts(t)
	made := collected(t, box)
	t.Run("answers agree", func(t *testing.T) { answersAgree(t, box, anna, made) })
	t.Run("refusals are explained", func(t *testing.T) { explainsRealRefusals(t, box, anna, made) })
	t.Run("arguments are completed", func(t *testing.T) { completesArguments(t, made) })
}

// Answers are what the accounts really do.
func answersAgree(t *testing.T, box *sandboxtest.Sandbox, anna sandbox.Credentials, made string) {
	if code, out, errs := run(t, "", "world", "validate", made); code != cli.ExitDone || !strings.Contains(out, "2 accounts, 2 roles, 1 users") {
		t.Errorf("validate: exit code %d\n%s%s", code, out, errs)
	}
	// Importing once more changes nothing.
	before, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", "world", "import", "--world", made, filepath.Join(filepath.Dir(made), "consumer.json")); code != cli.ExitDone {
		t.Errorf("importing again: exit code %d\n%s", code, errs)
	}
	if after, err := os.ReadFile(made); err != nil || !bytes.Equal(before, after) {
		t.Errorf("importing again changed the world, %v", err)
	}

	reader := box.Assume(box.Config(anna), readerARN)
	for _, key := range []string{"public/a.txt", "private/a.txt"} {
		_, err := s3.NewFromConfig(reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("data-4444"), Key: &key})
		want := cli.ExitDone
		if err != nil {
			want = cli.ExitNo
		}
		if code, out, errs := run(t, "", "can", "--world", made, readerARN, "s3:GetObject", "arn:aws:s3:::data-4444/"+key); code != want {
			t.Errorf("%s: the account answers %v, can exits with %d, want %d\n%s%s", key, err, code, want, out, errs)
		}
	}
	for _, id := range []string{secretID, "wrong"} {
		_, err := sts.NewFromConfig(box.Config(anna)).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String(vendorARN), RoleSessionName: aws.String("session"), ExternalId: &id,
		})
		want := cli.ExitDone
		if err != nil {
			want = cli.ExitNo
		}
		code, out, errs := run(t, "", "can", "--world", made, "arn:aws:iam::"+consumerID+":user/anna", "sts:AssumeRole", vendorARN, "--context", "sts:ExternalId="+id)
		if code != want {
			t.Errorf("external ID %s: the account answers %v, can exits with %d, want %d\n%s%s", id, err, code, want, out, errs)
		}
		if strings.Contains(out+errs, secretID) {
			t.Errorf("the external ID is shown:\n%s%s", out, errs)
		}
	}
	// Without the external ID it depends, and says on what.
	code, out, _ := run(t, "", "can", "--world", made, "arn:aws:iam::"+consumerID+":user/anna", "sts:AssumeRole", vendorARN)
	if code != cli.ExitUndetermined || !strings.Contains(out, "sts:ExternalId") || strings.Contains(out, secretID) {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// What AWS's clients print when they are refused is explained: by itself, and
// with the world that was collected.
func explainsRealRefusals(t *testing.T, box *sandboxtest.Sandbox, anna sandbox.Credentials, made string) {
	t.Chdir(t.TempDir()) // there is no world.json
	ctx := t.Context()
	asAnna := box.Config(anna)
	asReader := box.Assume(asAnna, readerARN)

	_, listing := iam.NewFromConfig(asAnna).ListUsers(ctx, &iam.ListUsersInput{})
	_, assuming := sts.NewFromConfig(asAnna).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(vendorARN), RoleSessionName: aws.String("session"), ExternalId: aws.String("wrong")})
	_, reading := s3.NewFromConfig(asReader).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data-4444"), Key: aws.String("private/a.txt")})
	for name, test := range map[string]struct {
		err     error
		flags   []string
		alone   []string // said without a world
		code    int      // without a world
		between []string // said with it
	}{
		"a missing identity policy": {
			err:     listing,
			alone:   []string{"no identity policy allows it (the principal's side, account 111122223333)", "allow iam:ListUsers", "get-account-authorization-details"},
			code:    cli.ExitDone,
			between: []string{"This world agrees", "inline policy policy-1", "account 111122223333: add iam:ListUsers to Action"},
		},
		"a wrong external ID": {
			err:     assuming,
			flags:   []string{"--context", "sts:ExternalId=wrong"},
			alone:   []string{"the message gives no reason", "demands another external ID", "444455556666 owns the resource"},
			code:    cli.ExitUndetermined,
			between: []string{"This world agrees", "resource's side", "statement Vendor of trust policy at world.json:", "StringEquals sts:ExternalId: policy says (hidden)"},
		},
		"a bucket policy that lacks the object": {
			err:     reading,
			flags:   []string{"--principal", readerARN, "--resource", "arn:aws:s3:::data-4444/private/a.txt"},
			alone:   []string{"S3 gives its reason only to callers", "make sure that the bucket policy of data-4444 allows it to " + readerARN, "--owner ACCOUNT"},
			code:    cli.ExitUndetermined,
			between: []string{"This world agrees", "statement Partner of policy of arn:aws:s3:::data-4444 at world.json:", "account 444455556666: add arn:aws:s3:::data-4444/private/a.txt to Resource"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.err == nil {
				t.Fatal("it was not refused")
			}
			check := func(code, wantCode int, out, errs string, want []string) {
				t.Helper()
				if code != wantCode {
					t.Errorf("exit code %d, want %d\n%s", code, wantCode, errs)
				}
				for _, w := range want {
					if !strings.Contains(out, w) {
						t.Errorf("it does not say %q:\n%s", w, out)
					}
				}
				if strings.Contains(out+errs, secretID) {
					t.Errorf("the external ID is shown:\n%s", out)
				}
			}
			code, out, errs := run(t, test.err.Error(), append([]string{"why"}, test.flags...)...)
			check(code, test.code, out, errs, test.alone)
			code, out, errs = run(t, test.err.Error(), append([]string{"why", "--world", made}, test.flags...)...)
			check(code, cli.ExitDone, out, errs, test.between)
		})
	}

	// The same through the aws command, whose words are others.
	command, url := testenv.Tool(t, "aws"), box.Serve()
	session, err := asReader.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"s3api", "get-object", "--bucket", "data-4444", "--key", "private/a.txt", filepath.Join(t.TempDir(), "out")},
		{"s3api", "head-object", "--bucket", "data-4444", "--key", "private/a.txt"},
		{"sts", "assume-role", "--role-arn", vendorARN, "--role-session-name", "session"},
		{"iam", "list-roles"},
	} {
		c := exec.CommandContext(ctx, command, args...)
		c.Env = box.Environment(url, sandbox.Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken})
		printed, err := c.CombinedOutput()
		if err == nil {
			t.Errorf("aws %s was not refused", strings.Join(args, " "))
			continue
		}
		why := []string{"why", "--json", "--world", made, "--absent", "sts:ExternalId"}
		if args[0] == "s3api" {
			why = append(why, "--principal", readerARN, "--resource", "arn:aws:s3:::data-4444/private/a.txt")
		}
		code, out, errs := run(t, string(printed), why...)
		var finding struct {
			Principal, Action string
			Explained         bool
			World             struct {
				Changes []struct{ Text string }
			}
		}
		if err := json.Unmarshal([]byte(out), &finding); err != nil {
			t.Errorf("aws %s: exit code %d, %v\n%s%s%s", strings.Join(args, " "), code, err, printed, out, errs)
			continue
		}
		if code != cli.ExitDone || !finding.Explained || finding.Action == "" || finding.Principal == "" || len(finding.World.Changes) == 0 {
			t.Errorf("aws %s: exit code %d, %+v\n%s", strings.Join(args, " "), code, finding, printed)
		}
	}
}

// Arguments are completed from the world and the service reference.
func completesArguments(t *testing.T, made string) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"can", "--world", made, "arn:aws:iam::1"}, readerARN},
		{[]string{"can", "--world", made, readerARN, "s3:GetObjectT"}, "s3:GetObjectTagging"},
		{[]string{"can", "--world", made, readerARN, "secretsm"}, "secretsmanager:"},
		{[]string{"can", "--world", made, readerARN, "s3:GetObject", "arn:aws:s3"}, "arn:aws:s3:::data-4444"},
		{[]string{"who-can", "--world", made, "sts:AssumeRole", "arn:aws:iam"}, vendorARN},
		{[]string{"what-can", "--world", made, ""}, "arn:aws:iam::111122223333:user/anna"},
		{[]string{"can", "--context", "aws:sourcei"}, "aws:SourceIp="},
	} {
		code, out, errs := run(t, "", append([]string{"__complete"}, test.args...)...)
		if code != cli.ExitDone || !strings.Contains(out, test.want+"\n") {
			t.Errorf("%q: exit code %d, completions lack %s:\n%s%s", test.args, code, test.want, out, errs)
		}
	}
}
