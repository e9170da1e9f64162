package broker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A bearer token is tokenPrefix, an id of 16 hexadecimal digits that is no secret,
// an underscore and 256 random bits. The prefix lets scanners for leaked secrets
// find it.
const (
	tokenPrefix  = "xab_"
	tokenIDSize  = 16
	tokenSecret  = 32 // bytes
	tokenLength  = len(tokenPrefix) + tokenIDSize + 1 + 43
	maxTokens    = 100_000
	maxTokenFile = 64 << 20
)

// A TokenRecord is what a registry of tokens keeps about one. It does not have
// the token, only its hash, and 256 random bits cannot be found from that.
type TokenRecord struct {
	// ID is the public part of the token. It names it in records and commands.
	ID string `json:"id"`
	// Name says who has the token, for audit records and people.
	Name string `json:"name"`
	// SHA256 is the hash of the whole token in hexadecimal digits.
	SHA256 string `json:"sha256"`

	// Customers and Purposes are those the token may have credentials for, at
	// least one of each and no wildcards. The purpose "" is the whole role.
	Customers []string `json:"customers"`
	Purposes  []string `json:"purposes"`
	// Integrations, if there are any, are the only ones the token may name, and
	// then it must name one.
	Integrations []string `json:"integrations,omitempty"`

	IssuedAt time.Time `json:"issued_at"`
	// ExpiresAt is when the token ends; it must be given.
	ExpiresAt time.Time `json:"expires_at"`
	// Revoked ends the token at once. The record stays, so that its id can still
	// be looked up.
	Revoked bool `json:"revoked,omitempty"`
}

// MaxTokenLifetime is the longest a token may be issued for.
const MaxTokenLifetime = 400 * 24 * time.Hour

// IssueToken makes a token for somebody called name. The template says for what
// (Customers, Purposes, Integrations) and until when (ExpiresAt). It returns the
// token, which nobody can get a second time, and the record for the registry
// (see [UpdateTokens]).
//
// Give the token to its user as AWS_CONTAINER_AUTHORIZATION_TOKEN, or in a file
// named by AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, without a line end: some SDKs
// refuse one. A nil random is crypto/rand.
func IssueToken(random io.Reader, now time.Time, name string, template TokenRecord) (token string, record TokenRecord, err error) {
	if random == nil {
		random = rand.Reader
	}
	var bits [tokenIDSize/2 + tokenSecret]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", TokenRecord{}, &Error{Code: CodeUnavailable, Message: "the source of randomness fails", cause: err}
	}
	record = template
	record.Name = name
	record.ID = hex.EncodeToString(bits[:tokenIDSize/2])
	record.IssuedAt = now.UTC().Truncate(time.Second)
	record.ExpiresAt = template.ExpiresAt.UTC().Truncate(time.Second)
	record.Revoked = false
	token = tokenPrefix + record.ID + "_" + base64.RawURLEncoding.EncodeToString(bits[tokenIDSize/2:])
	sum := sha256.Sum256([]byte(token))
	record.SHA256 = hex.EncodeToString(sum[:])
	if !record.ExpiresAt.After(now) || record.ExpiresAt.Sub(now) > MaxTokenLifetime {
		return "", TokenRecord{}, invalid(fmt.Sprintf("the token's expires_at must be later than now and at most %d days away", MaxTokenLifetime/(24*time.Hour)))
	}
	if _, err := newToken(record); err != nil {
		return "", TokenRecord{}, err
	}
	return token, record, nil
}

// A token is a record in the form that is looked at for every request.
type token struct {
	TokenRecord
	hash    [sha256.Size]byte
	arrival *atomic.Int64 // see allow; stays the same when the registry is read anew
}

func newToken(record TokenRecord) (*token, error) {
	t := &token{TokenRecord: record, arrival: new(atomic.Int64)}
	hash, err := hex.DecodeString(record.SHA256)
	wrong := func(text string) error { return invalid("token " + record.ID + ": " + text) }
	if id, idErr := hex.DecodeString(record.ID); idErr != nil || len(id) != tokenIDSize/2 || strings.ToLower(record.ID) != record.ID {
		return nil, invalid("a token's id must have 16 hexadecimal digits in lower case")
	}
	switch {
	case err != nil || len(hash) != len(t.hash):
		return nil, wrong("sha256 must have 64 hexadecimal digits")
	case record.Name == "":
		return nil, wrong("name must not be empty; say who has the token")
	case len(record.Customers) == 0 || len(record.Purposes) == 0:
		return nil, wrong(`customers and purposes must not be empty; the purpose "" is the whole role`)
	case slices.Contains(record.Customers, "") || slices.Contains(record.Integrations, ""):
		return nil, wrong("customers and integrations must not contain an empty name")
	case slices.Contains(record.Customers, "*") || slices.Contains(record.Purposes, "*") || slices.Contains(record.Integrations, "*"):
		return nil, wrong("there are no wildcards; list the customers, purposes and integrations")
	case record.ExpiresAt.IsZero():
		return nil, wrong("expires_at must be given")
	}
	copy(t.hash[:], hash)
	// Looked up by binary search, which beats a map for the usual few.
	t.Customers, t.Purposes, t.Integrations = sorted(t.Customers), sorted(t.Purposes), sorted(t.Integrations)
	return t, nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// mayRead reports whether the token is bound to these.
func (t *token) mayRead(customer, integration, purpose string) bool {
	for _, bound := range [...]struct {
		list []string
		name string
		any  bool
	}{{t.Customers, customer, false}, {t.Purposes, purpose, false}, {t.Integrations, integration, len(t.Integrations) == 0}} {
		if _, ok := slices.BinarySearch(bound.list, bound.name); !ok && !bound.any {
			return false
		}
	}
	return true
}

// allow counts a request and reports whether the token may make it now. It
// spends burst requests at once and one per every after that, and returns how
// long to wait otherwise. The one number it needs is when the token will have
// made all its requests if they came evenly spread.
//
// https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
func (t *token) allow(now time.Time, rate Rate) (wait time.Duration, ok bool) {
	at := now.UnixNano()
	for {
		before := t.arrival.Load()
		if before > at+int64(rate.Burst)*int64(rate.Every) {
			before = t.forget(before, at) // the clock went back
		}
		if ahead := time.Duration(before - at); ahead > time.Duration(rate.Burst-1)*rate.Every {
			return ahead - time.Duration(rate.Burst-1)*rate.Every, false
		}
		if t.arrival.CompareAndSwap(before, max(before, at)+int64(rate.Every)) {
			return 0, true
		}
	}
}

// forget sets arrival to now, unless somebody else was first.
func (t *token) forget(before, now int64) int64 {
	if t.arrival.CompareAndSwap(before, now) {
		return now
	}
	return t.arrival.Load()
}

// Tokens are the tokens an [Endpoint] accepts. They can be exchanged while it
// works: a request sees either all of the old or all of the new ones.
//
// They are safe for concurrent use.
type Tokens struct {
	path    string
	current atomic.Pointer[map[string]*token] // :: id → token
}

// NewTokens returns a registry with these records.
func NewTokens(records ...TokenRecord) (*Tokens, error) {
	t := &Tokens{}
	if err := t.Replace(records); err != nil {
		return nil, err
	}
	return t, nil
}

// OpenTokens reads a registry from a file that [UpdateTokens] wrote. See
// [Tokens.Reload].
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Replace exchanges all tokens. If one is wrong, none is exchanged. Tokens that
// stay keep what they used up of their rate.
func (t *Tokens) Replace(records []TokenRecord) error {
	if len(records) > maxTokens {
		return invalid(fmt.Sprintf("a registry may have at most %d tokens", maxTokens))
	}
	var old map[string]*token
	if current := t.current.Load(); current != nil {
		old = *current
	}
	all := make(map[string]*token, len(records))
	for _, record := range records {
		made, err := newToken(record)
		if err != nil {
			return err
		}
		if all[made.ID] != nil {
			return invalid("token " + made.ID + " is in the registry twice")
		}
		if before := old[made.ID]; before != nil {
			made.arrival = before.arrival
		}
		all[made.ID] = made
	}
	t.current.Store(&all)
	return nil
}

// Records returns what is kept about the tokens, those that were issued first
// coming first.
func (t *Tokens) Records() []TokenRecord {
	var records []TokenRecord
	for _, token := range *t.current.Load() {
		r := token.TokenRecord
		r.Customers, r.Purposes, r.Integrations = slices.Clone(r.Customers), slices.Clone(r.Purposes), slices.Clone(r.Integrations)
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b TokenRecord) int {
		return cmp.Or(a.IssuedAt.Compare(b.IssuedAt), cmp.Compare(a.ID, b.ID))
	})
	return records
}

// Reload reads the file anew. If it cannot be read or is wrong, an error says so
// and the tokens stay what they were. A file that others than its owner may
// write is refused: whoever can write it can give himself any customer's
// credentials.
func (t *Tokens) Reload() error {
	if t.path == "" {
		return invalid("these tokens did not come from a file")
	}
	records, err := readTokens(t.path)
	if err != nil {
		return err
	}
	return t.Replace(records)
}

// Watch reads the file anew whenever it changed, looking every so often, until
// the context ends. Trouble is reported, when given, once for each kind; the
// tokens stay what they were until it is over.
func (t *Tokens) Watch(ctx context.Context, every time.Duration, trouble func(error)) {
	look := time.NewTicker(every)
	defer look.Stop()
	var seen fs.FileInfo
	var said string
	for {
		info, err := os.Stat(t.path)
		if err == nil && (seen == nil || !os.SameFile(info, seen) || info.ModTime() != seen.ModTime() || info.Size() != seen.Size()) {
			if err = t.Reload(); err == nil {
				seen = info
			}
		}
		switch {
		case err == nil:
			said = ""
		case err.Error() != said && trouble != nil:
			said = err.Error()
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// nobody is compared with if there is no token of an id, so that it takes as long.
var nobody token

// find returns the token that an Authorization header has, or nil if it has none
// that is valid. It does not say what is wrong with it.
func (t *Tokens) find(authorization string, now time.Time) *token {
	text := strings.TrimPrefix(authorization, "Bearer ")
	if len(text) != tokenLength || text[:len(tokenPrefix)] != tokenPrefix {
		return nil
	}
	found, ok := (*t.current.Load())[text[len(tokenPrefix):][:tokenIDSize]]
	if !ok {
		found = &nobody
	}
	var buffer [tokenLength]byte // so that nothing is allocated
	copy(buffer[:], text)
	hash := sha256.Sum256(buffer[:])
	if subtle.ConstantTimeCompare(hash[:], found.hash[:]) != 1 || !ok || found.Revoked || !found.ExpiresAt.After(now) {
		return nil
	}
	return found
}

// tokenFile is the form of a registry's file.
type tokenFile struct {
	Version int           `json:"version"`
	Tokens  []TokenRecord `json:"tokens"`
}

func readTokens(path string) ([]TokenRecord, error) {
	broken := func(err error) error {
		return &Error{Code: CodeInvalidRequest, Message: "the token registry " + path + " cannot be read", cause: err}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, broken(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, broken(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return nil, invalid("the token registry " + path + " must be a file that only its owner can write: chmod 600 it")
	}
	data, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	if err != nil {
		return nil, broken(err)
	}
	if len(data) > maxTokenFile {
		return nil, invalid(fmt.Sprintf("the token registry %s is larger than %d bytes", path, maxTokenFile))
	}
	return parseTokens(path, data)
}

func parseTokens(path string, data []byte) ([]TokenRecord, error) {
	var content tokenFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields() // a misspelt "revoked" must not keep a token alive
	if err := decoder.Decode(&content); err != nil {
		return nil, &Error{Code: CodeInvalidRequest, Message: "the token registry " + path + " is not the JSON it should be", cause: err}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("the token registry " + path + " has something after its end")
	}
	if content.Version != 1 {
		return nil, invalid(fmt.Sprintf("the token registry %s has version %d; this program knows 1", path, content.Version))
	}
	return content.Tokens, nil
}

// UpdateTokens lets change exchange the records of a registry's file, which need
// not exist yet, and writes it with mode 0600, at once or not at all. Others that
// do the same at the same time wait for each other, where the system has locks.
func UpdateTokens(ctx context.Context, path string, change func([]TokenRecord) ([]TokenRecord, error)) error {
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return &Error{Code: CodeUnavailable, Message: "the token registry " + path + " cannot be locked", cause: err}
	}
	defer unlock()
	records, err := readTokens(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if records, err = change(records); err != nil {
		return err
	}
	if _, err := NewTokens(records...); err != nil {
		return err
	}
	if records == nil {
		records = []TokenRecord{}
	}
	data, err := json.MarshalIndent(tokenFile{1, records}, "", "  ")
	if err != nil {
		return err
	}
	err = replaceFile(path, true, func(to io.Writer) error {
		_, err := to.Write(append(data, '\n'))
		return err
	})
	if err != nil {
		return &Error{Code: CodeUnavailable, Message: "the token registry " + path + " cannot be written", cause: err}
	}
	return nil
}
