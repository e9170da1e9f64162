package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

const (
	vendorID = "111111111111"
	bucket   = "acme-templates"
	broker   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}}`
)

// newClient returns a vendor's client on the store, with a sandbox that has its
// template bucket. The keys are kept in a file beside the database.
func newClient(t *testing.T, store *sqlite.Store, path string) (*crossaccount.Client, crossaccount.Encryptor) {
	t.Helper()
	box := sandboxtest.New(t, vendorID)
	config := &crossaccount.Config{
		ServiceName: "Acme", ServiceAccountID: vendorID, AWSConfig: box.Account(vendorID).Config(), TemplateS3Bucket: bucket,
		OngoingPermissions: []crossaccount.Permission{{Sid: "Read", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::data/*"}}},
	}
	operator, err := crossaccount.New(config, crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := crossaccount.OpenKeyFile(filepath.Join(filepath.Dir(path), "keys.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	config.AWSConfig = box.Account(vendorID).User("broker", broker)
	client, err := crossaccount.New(config, crossaccount.WithStorage(store), crossaccount.WithEncryption(encryptor), crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	return client, encryptor
}

// raw opens the database as somebody with access to the file would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func number(t *testing.T, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func wantCode(t *testing.T, what string, err error, code crossaccount.Code) {
	t.Helper()
	if crossaccount.CodeOf(err) != code {
		t.Errorf("%s: got error %v (code %q), want code %q", what, err, crossaccount.CodeOf(err), code)
	}
}
