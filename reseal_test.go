package crossaccount_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crossaccount/crossaccount"
)

// A vault is a storage with many integrations, and the keys they are sealed
// with.
type vault struct {
	*testing.T
	crossaccount.CredentialStorage
	keys *crossaccount.KeySet
}

// newVault makes a vault with more integrations than one page has.
func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{T: t, CredentialStorage: crossaccount.NewMemoryStorage(), keys: newKeys(t)}
	encryptor := newEncryptor(t, v.keys)
	for n := range 250 {
		i := &crossaccount.Integration{CustomerID: fmt.Sprintf("customer-%d", n%40), ID: fmt.Sprintf("int-%d", n), State: crossaccount.States()[n%8]}
		if n%10 > 0 { // some have no external ID
			var err error
			if i.SealedExternalID, err = encryptor.Seal(t.Context(), v.externalID(i), bindingOf(i)); err != nil {
				t.Fatal(err)
			}
			if i.ExternalIDIndex, err = encryptor.BlindIndex(t.Context(), "external_id", v.externalID(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Create(t.Context(), i, crossaccount.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *vault) externalID(i *crossaccount.Integration) []byte {
	return []byte("acme-" + i.CustomerID + i.ID)
}

func bindingOf(i *crossaccount.Integration) crossaccount.Binding {
	return crossaccount.Binding{CustomerID: i.CustomerID, IntegrationID: i.ID, Field: "external_id"}
}

// client returns a client with the vault's storage and the keys.
func (v *vault) client(keys *crossaccount.KeySet, options ...crossaccount.Option) *crossaccount.Client {
	v.Helper()
	config := &crossaccount.Config{ServiceName: "Acme", ServiceAccountID: vendorID, OngoingPermissions: []crossaccount.Permission{{Actions: []string{"s3:ListAllMyBuckets"}, Resources: []string{"*"}}}}
	client, err := crossaccount.New(config, append([]crossaccount.Option{
		crossaccount.WithStorage(v), crossaccount.WithEncryption(newEncryptor(v.T, keys)), crossaccount.WithLogger(nil),
	}, options...)...)
	if err != nil {
		v.Fatal(err)
	}
	return client
}

// rotated returns a copy of the vault's keys with a new active one.
func (v *vault) rotated() *crossaccount.KeySet {
	v.Helper()
	exported, err := v.keys.Export()
	if err != nil {
		v.Fatal(err)
	}
	keys, err := crossaccount.ParseKeySet(exported)
	if err == nil {
		err = keys.Rotate(nil)
	}
	if err != nil {
		v.Fatal(err)
	}
	return keys
}

func (v *vault) all() (all []*crossaccount.Integration) {
	v.Helper()
	query := crossaccount.IntegrationQuery{AllCustomers: true}
	for {
		page, err := v.List(v.Context(), query)
		if err != nil {
			v.Fatal(err)
		}
		all = append(all, page.Integrations...)
		if query.Cursor = page.Next; page.Next == "" {
			return all
		}
	}
}

// checkSealed fails unless every external ID is what it was and sealed with the
// active key of the set.
func (v *vault) checkSealed(keys *crossaccount.KeySet) {
	v.Helper()
	encryptor := newEncryptor(v.T, keys)
	for _, i := range v.all() {
		if len(i.SealedExternalID) == 0 {
			continue
		}
		if plain, err := encryptor.Open(v.Context(), i.SealedExternalID, bindingOf(i)); err != nil || string(plain) != string(v.externalID(i)) {
			v.Errorf("%s/%s opens as %q, %v", i.CustomerID, i.ID, plain, err)
		}
		if !encryptor.SealedWithActiveKey(i.SealedExternalID) {
			v.Errorf("%s/%s is not sealed with the active key", i.CustomerID, i.ID)
		}
	}
}

func TestReseal(t *testing.T) {
	v := newVault(t)
	before, keys := v.all(), v.rotated()
	client := v.client(keys)
	var seen []crossaccount.ResealProgress
	done, err := client.Reseal(crossaccount.WithActor(t.Context(), "operator"), func(p crossaccount.ResealProgress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	if want := (crossaccount.ResealProgress{Checked: 250, Needed: 225, Resealed: 225}); done != want {
		t.Errorf("did %+v, want %+v", done, want)
	}
	if len(seen) != 6 || seen[0].Checked != 100 || seen[2].Resealed != 0 || seen[3].Resealed == 0 || seen[5] != done {
		t.Errorf("progress was %+v", seen)
	}
	v.checkSealed(keys)
	if diff := cmp.Diff(before, v.all(), cmpopts.IgnoreFields(crossaccount.Integration{}, "SealedExternalID", "Version", "UpdatedAt")); diff != "" {
		t.Errorf("resealing changed more than it should (-before +after):\n%s", diff)
	}
	page, err := v.ListAudit(t.Context(), crossaccount.AuditQuery{CustomerID: "customer-1", IntegrationID: "int-1"})
	if err != nil || len(page.Records) != 1 || page.Records[0].Action != crossaccount.ActionResealed || page.Records[0].Actor != "operator" {
		t.Errorf("audit records: %+v, %v", page, err)
	}
	if again, err := client.Reseal(t.Context(), nil); err != nil || again.Needed != 0 || again.Resealed != 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestResealTouchesNothingWithTheWrongKeys(t *testing.T) {
	v := newVault(t)
	before := v.all()
	without := newKeys(t) // the new key without the old one
	mixed := v.rotated()
	mixed.Installation = "elsewhere"
	// The right keys with the key of another installation's indexes.
	theirs, err := newKeys(t).Export()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := v.rotated().Export()
	if err != nil {
		t.Fatal(err)
	}
	otherIndex, err := crossaccount.ParseKeySet([]byte(replaceLine(string(ours), string(theirs), `"index_key"`)))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		keys *crossaccount.KeySet
		says string
	}{
		"the old key is missing": {without, "key that is not configured"},
		"another installation":   {mixed, "does not belong to this record"},
		"another index key":      {otherIndex, "does not fit its blind index"},
	} {
		done, err := v.client(test.keys).Reseal(t.Context(), nil)
		wantCode(t, err, crossaccount.CodeDecrypt)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "integration int-1 of customer customer-1") || done.Resealed != 0 {
			t.Errorf("%s: did %+v, %v", name, done, err)
		}
		if diff := cmp.Diff(before, v.all()); diff != "" {
			t.Errorf("%s: something was touched (-before +after):\n%s", name, diff)
		}
	}

	// One bad record among many.
	keys := v.rotated()
	bad := v.all()[200]
	bad.SealedExternalID = v.all()[201].SealedExternalID
	if err := v.Update(t.Context(), bad, crossaccount.Change{}); err != nil {
		t.Fatal(err)
	}
	before = v.all()
	done, err := v.client(keys).Reseal(t.Context(), nil)
	wantCode(t, err, crossaccount.CodeDecrypt)
	if err == nil || !strings.Contains(err.Error(), "integration "+bad.ID+" of customer "+bad.CustomerID) || done.Resealed != 0 {
		t.Errorf("with a swapped record: did %+v, %v", done, err)
	}
	if diff := cmp.Diff(before, v.all()); diff != "" {
		t.Errorf("with a swapped record something was touched (-before +after):\n%s", diff)
	}
}

// replaceLine replaces the line of a text that contains the mark by that of
// another text.
func replaceLine(text, other, mark string) string {
	line := func(text string) string {
		for l := range strings.Lines(text) {
			if strings.Contains(l, mark) {
				return l
			}
		}
		return ""
	}
	return strings.Replace(text, line(text), line(other), 1)
}

// A failingStorage fails its n-th update.
type failingStorage struct {
	crossaccount.CredentialStorage
	mu   sync.Mutex
	left int
}

func (s *failingStorage) Update(ctx context.Context, i *crossaccount.Integration, change crossaccount.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left < 0 {
		return crossaccount.NewError(crossaccount.CodeStorage, "the power failed", "", errors.New("test"))
	}
	return s.CredentialStorage.Update(ctx, i, change)
}

func TestResealContinuesAfterAnInterruption(t *testing.T) {
	v := newVault(t)
	keys := v.rotated()
	failing := &failingStorage{CredentialStorage: v, left: 130}
	done, err := v.client(keys, crossaccount.WithStorage(failing)).Reseal(t.Context(), nil)
	wantCode(t, err, crossaccount.CodeStorage)
	if done.Resealed != 130 {
		t.Errorf("before the interruption: %+v", done)
	}
	done, err = v.client(keys).Reseal(t.Context(), nil)
	if err != nil || done.Needed != 95 || done.Resealed != 95 {
		t.Errorf("after the interruption: %+v, %v", done, err)
	}
	v.checkSealed(keys)
}

func TestResealWhileServing(t *testing.T) {
	v := newVault(t)
	keys := v.rotated()
	var others sync.WaitGroup
	others.Go(func() { // another instance changes records all the time
		for n := 0; n < 2000; n++ {
			i, err := v.Get(t.Context(), fmt.Sprintf("customer-%d", n%250%40), fmt.Sprintf("int-%d", n%250))
			if err != nil {
				t.Error(err)
				return
			}
			i.CustomerName += "x"
			if err := v.Update(t.Context(), i, crossaccount.Change{}); crossaccount.CodeOf(err) == crossaccount.CodeConflict {
				n-- // again
			} else if err != nil {
				t.Error(err)
				return
			}
		}
	})
	if _, err := v.client(keys).Reseal(t.Context(), nil); err != nil {
		t.Error(err)
	}
	// Two operators at once do no harm either.
	for range 2 {
		others.Go(func() {
			if _, err := v.client(v.again(keys)).Reseal(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	others.Wait()
	v.checkSealed(keys)
	for _, i := range v.all() {
		if len(i.CustomerName) != 8 {
			t.Errorf("%s/%s has %d of 8 changes", i.CustomerID, i.ID, len(i.CustomerName))
		}
	}
}

// again returns a copy of a key set.
func (v *vault) again(keys *crossaccount.KeySet) *crossaccount.KeySet {
	exported, err := keys.Export()
	if err != nil {
		v.Error(err)
	}
	copied, err := crossaccount.ParseKeySet(exported)
	if err != nil {
		v.Error(err)
	}
	return copied
}

// An encryptor that cannot tell keys apart is refused before anything is read.
func TestResealNeedsAKeyChecker(t *testing.T) {
	v := newVault(t)
	client := v.client(v.keys, crossaccount.WithEncryption(struct{ crossaccount.Encryptor }{newEncryptor(t, v.keys)}))
	_, err := client.Reseal(t.Context(), nil)
	wantCode(t, err, crossaccount.CodeInvalidConfig)
}
