package sqlite_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount"
)

const digits = 40 // hexadecimal digits at the end of an external ID

// leaks returns the external IDs whose random digits occur in the data.
func leaks(data []byte, stored []storedIntegration) (leaked []string) {
	secret := make(map[string]bool)
	for _, i := range stored {
		secret[i.externalID[len(i.externalID)-digits:]] = true
	}
	run := 0 // of hexadecimal digits
	for n, b := range data {
		if '0' <= b && b <= '9' || 'a' <= b && b <= 'f' {
			run++
		} else {
			run = 0
		}
		if run >= digits && secret[string(data[n+1-digits:n+1])] {
			leaked = append(leaked, string(data[n+1-digits:n+1]))
		}
	}
	return leaked
}

// checkDump looks for external IDs in the files of the database, as somebody
// who stole them would.
func checkDump(t *testing.T, path string, stored []storedIntegration) {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(leaks(data, stored)); n > 0 {
			t.Errorf("%d external IDs can be read in %s", n, name)
		}
		if n := len(leaks(append(data, strings.ToLower(stored[0].externalID)...), stored)); n == 0 {
			t.Error("an external ID in the file would not be found")
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(data, []byte(stored[0].ID)) {
		t.Errorf("the dump does not even show the ids of integrations (%v)", err)
	}
}

// Somebody with access to the file gives one customer the sealed external ID of
// another, or the whole record.
func TestFault16_RecordsSwappedInTheFileAreDetected(t *testing.T) {
	for name, swap := range map[string]string{
		"external IDs": `CREATE TEMP TABLE was AS SELECT * FROM integrations;
			UPDATE integrations SET (sealed_external_id, external_id_index) =
			(SELECT sealed_external_id, external_id_index FROM was WHERE was.customer_id <> integrations.customer_id)`,
		"customers": `UPDATE integrations SET customer_id = CASE customer_id WHEN 'one' THEN 'two ' ELSE 'one ' END;
			UPDATE integrations SET customer_id = trim(customer_id)`,
	} {
		t.Run(name, func(t *testing.T) {
			store, path := open(t)
			client, _ := newClient(t, store, path)
			before := make(map[string]*crossaccount.IntegrationResponse)
			for _, customer := range []string{"one", "two"} {
				response, err := client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: customer})
				if err != nil {
					t.Fatal(err)
				}
				before[customer] = response
			}
			if _, err := raw(t, path).ExecContext(t.Context(), swap); err != nil {
				t.Fatal(err)
			}
			for customer := range before {
				response, err := client.GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: customer})
				wantCode(t, "the onboarding of "+customer, err, crossaccount.CodeDecrypt)
				if response != nil {
					t.Errorf("customer %s was answered", customer)
				}
			}
		})
	}
}
