package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount/internal/cli"
)

// The exit code of check says how sure the answer is: what the world does not
// say leaves it open, and what it forbids decides it.
func TestCheckExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	manifest := write("team.yaml", `
version: 1
accounts: {shop: {id: "111111111111", regions: [eu-central-1]}, bi: {id: "222222222222", regions: [eu-central-1]}}
apps: {shop: {accounts: {prod: shop}}}
consumers: {bi: {accounts: {production: bi}, role: {name: reader, create: lambda.amazonaws.com}}}
resources: {orders: {kind: kinesis-stream, name: orders}}
grants: [{name: orders, consumer: bi, resource: orders, access: read}]
`)
	const accounts = `"accounts": [{"id": "111111111111"}, {"id": "222222222222"}]`
	for _, test := range []struct {
		name, world string
		want        int
	}{
		{"nothing is known", `{"format": 1}`, cli.ExitUndetermined},
		{"the owner's account is not known", `{"format": 1, "accounts": [{"id": "222222222222"}]}`, cli.ExitUndetermined},
		{"nothing limits", `{"format": 1, ` + accounts + `}`, cli.ExitDone},
		{"a control policy that is not there", `{"format": 1, ` + accounts + `, "organizations": [{"id": "o-a1b2c3d4e5", "root": {"id": "r-ab12", "service_control": ["p-unknown1"], "accounts": [{"id": "222222222222"}]}}]}`, cli.ExitUndetermined},
		{"a control policy that allows something else", `{"format": 1, ` + accounts + `, "organizations": [{"id": "o-a1b2c3d4e5", "root": {"id": "r-ab12", "service_control": ["p-storage1"], "accounts": [{"id": "222222222222"}]}}],
			"control_policies": [{"id": "p-storage1", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}}]}`, cli.ExitNo},
		{"no world", `{"format": 7}`, cli.ExitUsage},
	} {
		t.Run(test.name, func(t *testing.T) {
			if code, out, errs := run(t, "", "check", manifest, "--world", write("world.json", test.world)); code != test.want {
				t.Errorf("exit code %d, want %d\n%s%s", code, test.want, out, errs)
			}
		})
	}
}
