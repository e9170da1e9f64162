package crossaccount

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam/reference"
)

func TestFault9_NamesAreLegalWhateverTheyAreMadeOf(t *testing.T) {
	session := regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	rapid.Check(t, func(t *rapid.T) {
		service, customer := rapid.StringN(1, 80, 200).Draw(t, "service"), rapid.StringN(1, 80, 256).Draw(t, "customer")
		for what, name := range map[string]string{
			"session": sessionName(service, customer), "source identity": (&Client{config: Config{ServiceName: service}}).sourceIdentity(),
		} {
			if !session.MatchString(name) || strings.HasPrefix(name, "aws:") {
				t.Fatalf("%s %q is not legal", what, name)
			}
		}
		if err := reference.CheckRoleName(roleName(service, customer)); err != nil {
			t.Fatal(err)
		}
		if err := reference.CheckStackName(stackName(service, customer)); err != nil {
			t.Fatal(err)
		}
	})
	for _, name := range []string{roleName("Acme", "日本"), stackName("Acme", "日本"), roleName("Acme", "ä-b"), roleName("Acme", strings.Repeat("x", 300))} {
		if n := len(regexp.MustCompile(`-[0-9a-f]{8,12}\b`).FindAllString(name, -1)); n != 1 {
			t.Errorf("%q has %d hashes, want 1", name, n)
		}
	}
	if a, b := roleName("Acme", "Bob"), roleName("Acme", "bob"); strings.EqualFold(a, b) || b != "Acme-bob" {
		t.Errorf("customers Bob and bob have the roles %q and %q, which IAM takes for one", a, b)
	}
	seen := map[string]string{}
	for _, customer := range []string{"a", "A", "a b", "a-b", "a_b", "a.b", "ä", "b", strings.Repeat("x", 100), strings.Repeat("x", 101), "x/" + strings.Repeat("x", 98)} {
		for _, name := range []string{roleName("Acme", customer), sessionName("Acme", customer)} {
			if other, taken := seen[name]; taken && other != customer {
				t.Errorf("customers %q and %q are both %q", other, customer, name)
			}
			seen[name] = customer
		}
	}
}

func TestRule2_DecoysHaveTheShapeOfTheExternalID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(`[\w+=,.@:/-]{0,64}`).Draw(t, "prefix")
		id, err := newExternalID(rand.Reader, prefix)
		if err != nil {
			t.Fatal(err)
		}
		decoy, err := decoyOf(rand.Reader, id)
		if err != nil || len(decoy) != len(id) || !strings.HasPrefix(decoy, prefix) || decoy == id {
			t.Fatalf("the decoy of %q is %q (%v)", id, decoy, err)
		}
		if flipped := caseFlipped(id); flipped == id || !strings.EqualFold(flipped, id) || caseFlipped(flipped) != id {
			t.Fatalf("%q flipped is %q", id, flipped)
		}
		for _, made := range []string{decoy, caseFlipped(id)} {
			if err := reference.CheckExternalID(made); err != nil {
				t.Fatal(err) // STS would answer with a validation error
			}
		}
	})
	// IDs of another make, such as an import brings.
	for _, id := range []string{"12", "Zz", "0123456789", "550E8400-E29B-41D4-A716-446655440000", "customer:acme/prod"} {
		decoy, err := decoyOf(rand.Reader, id)
		if err != nil || len(decoy) != len(id) || decoy == id {
			t.Errorf("the decoy of %q is %q (%v)", id, decoy, err)
		}
	}
	if decoy, err := decoyOf(rand.Reader, "::::"); err == nil {
		t.Errorf("an ID without letters and digits has the decoy %q", decoy)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"service_name":"a","service_account_id":"111111111111","session_duration":"1h","patience":5}`))
	f.Add([]byte(`{"ongoing_permissions":[{"actions":["s3:*"],"resources":["*"],"condition":{"StringEquals":{"aws:x":[1,true,null]}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, options, err := ParseConfig(data)
		if err != nil {
			if CodeOf(err) != CodeInvalidConfig {
				t.Errorf("error %v", err)
			}
			return
		}
		if _, err := New(config, append(options, WithLogger(nil))...); err != nil && CodeOf(err) != CodeInvalidConfig {
			t.Errorf("error %v", err)
		}
	})
}
