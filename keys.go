package crossaccount

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const keySize = 32 // AES-256

// A KeySet holds the keys of an [AESEncryptor]. One is active and seals; all of
// them open, so a new key can be added without sealing everything again at
// once. Secrets are written by [KeySet.Export] only; printing a KeySet
// shows ids.
type KeySet struct {
	// Installation tells installations apart that share keys by mistake:
	// values sealed by one do not open in another.
	Installation string

	keys     []secretKey // the first is active
	indexKey []byte      // for blind indexes; never changes
}

// A secretKey's id is a fingerprint of its bytes, so that two keys can never
// have the same id and a wrong key is told apart from an altered value.
type secretKey struct {
	id     string
	secret []byte
}

// GenerateKeySet makes a key set with one key. Random is usually
// [rand.Reader], which nil means too.
func GenerateKeySet(random io.Reader) (*KeySet, error) {
	if random == nil {
		random = rand.Reader
	}
	var installation [8]byte
	set := &KeySet{indexKey: make([]byte, keySize)}
	if _, err := io.ReadFull(random, installation[:]); err != nil {
		return nil, randomError(err)
	}
	if _, err := io.ReadFull(random, set.indexKey); err != nil {
		return nil, randomError(err)
	}
	set.Installation = hex.EncodeToString(installation[:])
	if err := set.Rotate(random); err != nil {
		return nil, err
	}
	return set, nil
}

// Rotate adds a new key and makes it the active one. The older keys stay for
// opening. Where several processes share the keys, use Add first: one that does
// not know the new key yet cannot open what the others seal with it.
func (s *KeySet) Rotate(random io.Reader) error {
	id, err := s.Add(random)
	if err != nil {
		return err
	}
	return s.Activate(id)
}

// Add adds a new key that opens and does not seal yet, and returns its id. Once
// every process has the key, Activate lets it seal.
func (s *KeySet) Add(random io.Reader) (id string, err error) {
	if random == nil {
		random = rand.Reader
	}
	secret := make([]byte, keySize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return "", randomError(err)
	}
	key := secretKey{fingerprint(secret), secret}
	s.keys = append(s.keys, key)
	return key.id, nil
}

// Activate makes a key of the set the one that seals.
func (s *KeySet) Activate(id string) error {
	i, err := s.find(id)
	if err != nil {
		return err
	}
	key := s.keys[i]
	s.keys = slices.Insert(slices.Delete(s.keys, i, i+1), 0, key)
	return nil
}

// Remove takes a key out of the set. What is still sealed with it cannot be
// opened any more, so [Client.Reseal] comes first. The active key stays.
func (s *KeySet) Remove(id string) error {
	i, err := s.find(id)
	if err != nil {
		return err
	}
	if i == 0 {
		return NewError(CodeInvalidRequest, "key "+id+": is the active one", "make another one active first", nil)
	}
	s.keys = slices.Delete(s.keys, i, i+1)
	return nil
}

func (s *KeySet) find(id string) (int, error) {
	i := slices.IndexFunc(s.keys, func(k secretKey) bool { return k.id == id })
	if i < 0 {
		return 0, NewError(CodeInvalidRequest, fmt.Sprintf("key %.40q: is not in the key set", id), "choose one of those that are listed", nil)
	}
	return i, nil
}

// KeyIDs returns the ids of the keys, the active one first.
func (s *KeySet) KeyIDs() []string {
	ids := make([]string, len(s.keys))
	for i, key := range s.keys {
		ids[i] = key.id
	}
	return ids
}

// String shows the ids of the keys and nothing secret.
func (s *KeySet) String() string { return fmt.Sprintf("keys %v of %s", s.KeyIDs(), s.Installation) }

// GoString is String, so that %#v shows nothing secret either.
func (s *KeySet) GoString() string { return s.String() }

// Format prints what String returns for every verb.
func (s KeySet) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

func fingerprint(secret []byte) string {
	id, err := hkdf.Key(sha256.New, secret, nil, "crossaccount key id", 8)
	if err != nil {
		panic(err) // only for lengths beyond 8,160 bytes
	}
	return hex.EncodeToString(id)
}

type keyFile struct {
	Installation string   `json:"installation"`
	IndexKey     []byte   `json:"index_key"`
	Keys         [][]byte `json:"keys"` // base64, the active one first
}

// Export writes the key set with its secrets, as key files hold it. It is not
// called MarshalJSON so that no log handler calls it by itself.
func (s *KeySet) Export() ([]byte, error) {
	file := keyFile{Installation: s.Installation, IndexKey: s.indexKey}
	for _, key := range s.keys {
		file.Keys = append(file.Keys, key.secret)
	}
	data, err := json.MarshalIndent(file, "", "  ")
	return append(data, '\n'), err
}

// ParseKeySet reads what Export writes.
func ParseKeySet(data []byte) (*KeySet, error) {
	var file keyFile
	if err := json.Unmarshal(data, &file); err != nil {
		// The decoder's message could quote a secret.
		return nil, NewError(CodeInvalidConfig, "keys: not a key file", "a key file is a JSON object with installation, index_key and keys, secrets in base64", nil)
	}
	set := &KeySet{Installation: file.Installation, indexKey: file.IndexKey}
	if file.Installation == "" || len(file.IndexKey) != keySize || len(file.Keys) == 0 {
		return nil, NewError(CodeInvalidConfig, "keys: installation, an index_key of 32 bytes and at least one key are needed", "", nil)
	}
	for i, secret := range file.Keys {
		if len(secret) != keySize {
			return nil, NewError(CodeInvalidConfig, fmt.Sprintf("keys[%d]: has %d bytes, must have %d", i, len(secret), keySize), "", nil)
		}
		set.keys = append(set.keys, secretKey{fingerprint(secret), secret})
	}
	return set, nil
}

// ReadKeyFile reads a key file. A file that others than its owner may read or
// write is refused.
func ReadKeyFile(path string) (*KeySet, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, keyFileError("cannot be opened", "", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, keyFileError("cannot be examined", "", err)
	case !info.Mode().IsRegular():
		return nil, keyFileError("is not a regular file", "", nil)
	case info.Mode().Perm()&0o077 != 0:
		return nil, keyFileError(fmt.Sprintf("has mode %04o, so others may use it", info.Mode().Perm()), "run chmod 0600 on it, and make a new key if others could have read it", nil)
	case info.Size() > 1<<20:
		return nil, keyFileError("is larger than 1 MB", "", nil)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, keyFileError("cannot be read", "", err)
	}
	return ParseKeySet(data)
}

// WriteKeyFile writes a key file with mode 0600. It replaces an existing file
// in one step, so that a crash leaves the old or the new one.
func WriteKeyFile(path string, set *KeySet) error {
	data, err := set.Export()
	if err != nil {
		return keyFileError("cannot be encoded", "", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return keyFileError("cannot be created", "", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if err == nil {
		err = temporary.Sync()
	}
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return keyFileError("cannot be written", "", err)
	}
	return nil
}

// OpenKeyFile reads a key file, or makes one with a new key if there is none.
func OpenKeyFile(path string, random io.Reader) (*KeySet, error) {
	set, err := ReadKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return set, err
	}
	if set, err = GenerateKeySet(random); err != nil {
		return nil, err
	}
	data, err := set.Export()
	if err != nil {
		return nil, keyFileError("cannot be encoded", "", err)
	}
	// O_EXCL: of two processes that start together, one makes the file and the
	// other must use that one.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ReadKeyFile(path)
	}
	if err != nil {
		return nil, keyFileError("cannot be created", "", err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(path) // what is left of it
		return nil, keyFileError("cannot be written", "", err)
	}
	return set, nil
}

// KeysFromEnvironment reads a key set from the text of an environment variable:
// the content of a key file. Lookup is usually [os.LookupEnv].
func KeysFromEnvironment(lookup func(string) (string, bool), name string) (*KeySet, error) {
	text, ok := lookup(name)
	if !ok || text == "" {
		return nil, NewError(CodeInvalidConfig, "keys: the environment variable "+name+" is not set", "set it to the content of a key file", nil)
	}
	return ParseKeySet([]byte(text))
}

func keyFileError(what, remedy string, cause error) *Error {
	return NewError(CodeInvalidConfig, "key file: "+what, remedy, cause)
}
