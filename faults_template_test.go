package crossaccount_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/setup"
)

// The customer runs the command of the page word for word: it acknowledges named
// roles, keeps every parameter but one, and names the stack of the link, which
// depends on the customer's id and not on a name that may change.
func TestFault10_TheUpdateCommandKeepsWhatItDoesNotChange(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	ask := func(name string) *crossaccount.IntegrationResponse {
		t.Helper()
		response, err := w.client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "one", CustomerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	response := ask("First Name Ltd.")
	if renamed := ask("Second Name Ltd."); renamed.StackName != response.StackName {
		t.Errorf("another customer name makes stack %s of %s", renamed.StackName, response.StackName)
	}
	role := w.launch(oneID, response.LaunchURL)

	document, err := w.client.GenerateCloudFormationTemplate()
	if err != nil {
		t.Fatal(err)
	}
	var declared struct{ Parameters map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(document), &declared); err != nil {
		t.Fatal(err)
	}
	done := setup.Done{StackName: response.StackName, Region: response.Region}
	for name := range declared.Parameters {
		done.Parameters = append(done.Parameters, name)
	}
	words := strings.Fields(strings.ReplaceAll(done.SetupCommand(), "\\\n", " "))
	after := func(flag string) string {
		t.Helper()
		i := slices.Index(words, flag)
		if i < 0 || i+1 == len(words) {
			t.Fatalf("the command has no %s: %q", flag, words)
		}
		return words[i+1]
	}
	var parameters []cfntypes.Parameter
	kept := 0
	for _, word := range words {
		rest, ok := strings.CutPrefix(word, "ParameterKey=")
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(rest, ",")
		p := cfntypes.Parameter{ParameterKey: &name}
		switch given, ok := strings.CutPrefix(value, "ParameterValue="); {
		case ok:
			p.ParameterValue = &given
		case value == "UsePreviousValue=true":
			p.UsePreviousValue = aws.Bool(true)
			kept++
		default:
			t.Errorf("parameter %s is given as %q", name, value)
		}
		parameters = append(parameters, p)
	}
	if kept != len(declared.Parameters)-1 {
		t.Errorf("%d of %d parameters keep their value, want all but one", kept, len(declared.Parameters))
	}
	if !slices.Contains(words, "--use-previous-template") || after("--stack-name") != response.StackName {
		t.Errorf("the command is %q", words)
	}
	client := cloudformation.NewFromConfig(w.box.Account(oneID).Config())
	update := func(capability string) error {
		_, err := client.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{
			StackName: aws.String(after("--stack-name")), UsePreviousTemplate: aws.Bool(true), Parameters: parameters,
			Capabilities: []cfntypes.Capability{cfntypes.Capability(capability)},
		})
		return err
	}
	if err := update("CAPABILITY_IAM"); err == nil || !strings.Contains(err.Error(), "CAPABILITY_NAMED_IAM") {
		t.Errorf("CAPABILITY_IAM alone: %v", err)
	}
	if err := update(after("--capabilities")); err != nil {
		t.Fatal(err)
	}
	if id := w.output(client, response.StackName, crossaccount.OutputExternalID); id != response.ExternalID {
		t.Error("the update changed the external ID")
	}
	if now := w.output(client, response.StackName, crossaccount.OutputRoleARN); now != role {
		t.Errorf("the update changed the role from %s to %s", role, now)
	}
}

// Permissions that are worth nothing, or everything, are said to be so before
// any customer sees them.
func TestFault11_UselessConditionsAndAdministratorsAreWarnedOf(t *testing.T) {
	tagged := map[string]any{"StringEquals": map[string]any{"ec2:ResourceTag/vendor": "acme"}}
	for name, test := range map[string]struct {
		permission crossaccount.Permission
		code       string // "" for no warning
		field      string
	}{
		"tag of an instance that does not exist yet": {
			crossaccount.Permission{Actions: []string{"ec2:RunInstances"}, Resources: []string{"arn:aws:ec2:*:*:instance/*"}, Condition: tagged},
			"GX-C02", "setup_permissions[0].condition.StringEquals.ec2:ResourceTag/vendor",
		},
		"tag of no resource": {
			crossaccount.Permission{Actions: []string{"ec2:DescribeInstances"}, Resources: []string{"*"}, Condition: tagged},
			"GX-C02", "setup_permissions[0].condition.StringEquals.ec2:ResourceTag/vendor",
		},
		"tags of no resources": {
			crossaccount.Permission{Actions: []string{"ec2:Describe*"}, Resources: []string{"*"}, Condition: tagged},
			"GX-C02", "setup_permissions[0].condition.StringEquals.ec2:ResourceTag/vendor",
		},
		"a list of one instance": {
			crossaccount.Permission{Actions: []string{"ec2:DescribeInstances"}, Resources: []string{"arn:aws:ec2:*:*:instance/*"}},
			"GX-R02", "setup_permissions[0].actions[0]",
		},
		"administrator in three steps": {
			crossaccount.Permission{Actions: []string{"iam:CreateRole", "iam:AttachRolePolicy", "iam:PassRole"}, Resources: []string{"*"}},
			"self_granting", "setup_permissions[0].actions[1]",
		},
		"tag of an instance that exists": {
			crossaccount.Permission{Actions: []string{"ec2:StartInstances"}, Resources: []string{"arn:aws:ec2:*:*:instance/*"}, Condition: tagged}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.config.SetupPermissions = []crossaccount.Permission{test.permission}
			var about []crossaccount.Warning
			for _, warning := range w.newClient().Warnings() {
				if strings.HasPrefix(warning.Field, "setup_permissions") {
					about = append(about, warning)
				}
			}
			if test.code == "" {
				if len(about) > 0 {
					t.Errorf("warnings about a good permission: %v", about)
				}
				return
			}
			if !slices.ContainsFunc(about, func(w crossaccount.Warning) bool {
				return w.Code == test.code && w.Field == test.field && w.Message != "" && w.Remedy != ""
			}) {
				t.Errorf("no %s about %s in %v", test.code, test.field, about)
			}
		})
	}
}

// A template's key is the hash of its bytes: a changed configuration makes
// another object beside the old one, and a bucket of somebody else is not used.
func TestFault13_TemplatesAreNeverReplacedNorTakenFromAnotherOwner(t *testing.T) {
	w := newWorld(t)
	first := w.start("one")
	w.config.OngoingPermissions[0].Resources = append(w.config.OngoingPermissions[0].Resources, "arn:aws:s3:::another/*")
	second, err := w.newClient().GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "two"})
	if err != nil {
		t.Fatal(err)
	}
	if first.TemplateSHA256 == second.TemplateSHA256 {
		t.Fatal("two configurations have one template")
	}
	root := w.storage(vendorID)
	versions, err := root.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	if err != nil || len(versions.Versions) != 2 {
		t.Fatalf("%d versions of objects in the bucket (%v), want one for each template", len(versions.Versions), err)
	}
	for _, v := range versions.Versions {
		object, err := root.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: v.Key})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(object.Body)
		sum := sha256.Sum256(body)
		if err != nil || !strings.Contains(*v.Key, hex.EncodeToString(sum[:])) {
			t.Errorf("key %s has content with hash %x (%v)", *v.Key, sum, err)
		}
	}

	// The name of the bucket in the hands of another account that lets us write.
	w = newWorld(t)
	theirs := w.storage(twoID)
	if _, err := theirs.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"s3:*","Resource":"arn:aws:s3:::` + bucket + `/*"}}`)}); err != nil {
		t.Fatal(err)
	}
	_, err = publish(t.Context(), w.client)
	wantCode(t, err, crossaccount.CodePublish)
	list, err := theirs.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil || len(list.Contents) != 0 {
		t.Errorf("%d objects in another owner's bucket (%v)", len(list.Contents), err)
	}
}
