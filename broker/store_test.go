package broker_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/store/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.RunShared(t, func(_ *testing.T, now func() time.Time) func() broker.SharedStore {
		store := broker.NewMemoryStore(now)
		return func() broker.SharedStore { return store }
	})
}

func TestDirectoryStore(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T, now func() time.Time) func() broker.SharedStore {
		dir := filepath.Join(t.TempDir(), "sessions")
		return func() broker.SharedStore { return openDirectory(t, dir, now) }
	})
}

func openDirectory(t *testing.T, dir string, now func() time.Time) *broker.DirectoryStore {
	t.Helper()
	store, err := broker.OpenDirectoryStore(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func put(t *testing.T, store broker.SharedStore, key broker.Key, data string, expires time.Time) {
	t.Helper()
	if err := store.Put(t.Context(), key, broker.Sealed{Expires: expires, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDirectoryStoreIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := openDirectory(t, dir, at(noon))
	put(t, store, broker.Key{1}, "data", noon.Add(time.Hour))
	if _, err := store.Claim(t.Context(), broker.Key{2}, "me", time.Minute); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"a folder others can read": func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o750)) },
		"a file":                   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":                   func(path string) error { return os.Symlink(t.TempDir(), path) },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := broker.OpenDirectoryStore(path, nil); broker.CodeOf(err) != broker.CodeInvalidRequest {
			t.Errorf("%s: got %v, want %s", name, err, broker.CodeInvalidRequest)
		}
	}
	if _, err := broker.OpenDirectoryStore(filepath.Join(dir, "not", "there"), nil); err == nil {
		t.Error("a folder in a folder that does not exist: want an error")
	}
}

func TestDirectoryStoreIgnoresDamage(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"empty":       func([]byte) []byte { return nil },
		"cut off":     func(data []byte) []byte { return data[:len(data)-1] },
		"half header": func(data []byte) []byte { return data[:20] },
		"too long":    func(data []byte) []byte { return append(data, make([]byte, 1<<20)...) },
		"a length":    func(data []byte) []byte { data[40] = 0xff; return data },
		"a key":       func(data []byte) []byte { data[0]++; return data },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sessions")
			store := openDirectory(t, dir, at(noon))
			put(t, store, broker.Key{1}, "data", noon.Add(time.Hour))
			file := files(t, dir)[0]
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := store.Get(t.Context(), broker.Key{1}); ok || err != nil {
				t.Errorf("got %t %v, want nothing", ok, err)
			}
			if n, err := store.Prune(t.Context()); n != 1 || err != nil {
				t.Errorf("pruned %d files, %v; want 1", n, err)
			}
			put(t, store, broker.Key{1}, "anew", noon.Add(time.Hour))
			if entry, ok, err := store.Get(t.Context(), broker.Key{1}); !ok || err != nil || string(entry.Data) != "anew" {
				t.Errorf("got %q %t %v", entry.Data, ok, err)
			}
		})
	}
}

func TestDirectoryStorePrunes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	now := noon
	store := openDirectory(t, dir, func() time.Time { return now })
	for i := range 3 {
		put(t, store, broker.Key{byte(i)}, "data", noon.Add(time.Duration(i)*time.Hour+time.Minute))
		if _, err := store.Claim(t.Context(), broker.Key{byte(i), 1}, "me", time.Duration(i)*time.Hour+time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	stray := filepath.Join(dir, "00", ".writing-1")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(stray, noon, noon); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "00", "somebody's notes.session")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Prune(t.Context()); n != 0 || err != nil {
		t.Fatalf("pruned %d files too early, %v", n, err)
	}
	now = now.Add(time.Hour + 2*time.Minute)
	if n, err := store.Prune(t.Context()); n != 5 || err != nil {
		t.Errorf("pruned %d files, %v; want 5", n, err)
	}
	if got := files(t, dir); len(got) != 3 {
		t.Errorf("left are %v, want an entry, a claim and the foreign file", got)
	}
}

// A process that dies gives its lock back; one that only stopped makes others
// fail in time.
func TestDirectoryStoreWaitsForOtherProcesses(t *testing.T) {
	flock := testenv.Tool(t, "flock")
	dir := filepath.Join(t.TempDir(), "sessions")
	store := openDirectory(t, dir, at(noon))
	put(t, store, broker.Key{1}, "data", noon.Add(time.Hour))
	other := exec.CommandContext(t.Context(), flock, filepath.Join(dir, "01", "lock"), "sh", "-c", "echo locked; read line")
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if ok, err := store.Claim(ctx, broker.Key{1}, "me", time.Minute); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %t %v, want the deadline exceeded", ok, err)
	}
	if _, ok, err := store.Get(t.Context(), broker.Key{1}); !ok || err != nil {
		t.Errorf("reading needs no lock: got %t %v", ok, err)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	if ok, err := store.Claim(t.Context(), broker.Key{1}, "me", time.Minute); !ok || err != nil {
		t.Errorf("got %t %v, want the claim", ok, err)
	}
}

func TestSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshot")
	before := broker.NewMemoryStore(at(noon))
	put(t, before, broker.Key{1}, "one", noon.Add(time.Hour))
	put(t, before, broker.Key{2}, "two", noon.Add(time.Minute))
	put(t, before, broker.Key{3}, "three", noon)
	for range 2 { // replaces the first
		if n, err := before.WriteSnapshot(path); n != 2 || err != nil {
			t.Fatalf("wrote %d entries, %v; want 2", n, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the snapshot has the mode %s", info.Mode())
	}
	if left := files(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left are %v, want the snapshot", left)
	}
	after := broker.NewMemoryStore(at(noon.Add(2 * time.Minute)))
	if n, err := after.ReadSnapshot(path); n != 1 || err != nil {
		t.Errorf("read %d entries, %v; want 1", n, err)
	}
	entry, ok, err := after.Get(t.Context(), broker.Key{1})
	if !ok || err != nil || string(entry.Data) != "one" || !entry.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %q until %s, %t %v", entry.Data, entry.Expires, ok, err)
	}
	put(t, after, broker.Key{1}, "newer", noon.Add(2*time.Hour))
	if n, err := after.ReadSnapshot(path); n != 0 || err != nil {
		t.Errorf("read %d entries, %v; want 0, what is there is newer", n, err)
	}
}

func TestSnapshotRefuses(t *testing.T) {
	dir := t.TempDir()
	store := broker.NewMemoryStore(at(noon))
	put(t, store, broker.Key{1}, "one", noon.Add(time.Hour))
	put(t, store, broker.Key{2}, "two", noon.Add(time.Hour))
	good := filepath.Join(dir, "good")
	if _, err := store.WriteSnapshot(good); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		data []byte
		mode fs.FileMode
		read int
		code broker.Code
	}{
		{"others can read it", data, 0o640, 0, broker.CodeInvalidRequest},
		{"empty", nil, 0o600, 0, broker.CodeInvalidRequest},
		{"something else", []byte("hello, I am another file of some length"), 0o600, 0, broker.CodeInvalidRequest},
		{"cut off", data[:len(data)-1], 0o600, 1, broker.CodeUnavailable},
		{"cut off between entries", data[:len(data)-len("two")-44], 0o600, 1, ""},
		{"a length", bytes.Replace(data, []byte{0, 0, 0, 3}, []byte{255, 0, 0, 3}, 1), 0o600, 0, broker.CodeUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snapshot")
			if err := os.WriteFile(path, test.data, test.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			n, err := broker.NewMemoryStore(at(noon)).ReadSnapshot(path)
			if n != test.read || broker.CodeOf(err) != test.code {
				t.Errorf("read %d, %v; want %d and %q", n, err, test.read, test.code)
			}
		})
	}
	if n, err := store.ReadSnapshot(filepath.Join(dir, "none")); n != 0 || err != nil {
		t.Errorf("no file: got %d %v", n, err)
	}
	if _, err := store.WriteSnapshot(filepath.Join(dir, "no", "folder")); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("no folder: got %v", err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := store.WriteSnapshot(folder); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("over a folder: got %v", err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("left are %v, want the good snapshot", left)
	}
	if n, err := store.ReadSnapshot(folder); n != 0 || broker.CodeOf(err) != broker.CodeInvalidRequest {
		t.Errorf("a folder: got %d %v", n, err)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add([]byte("crossaccount broker snapshot 1\n"))
	f.Add([]byte("crossaccount broker snapshot 1\n" + strings.Repeat("k", 32) + "\x00\x00\x00\x7f\x00\x00\x00\x00\x00\x00\x00\x04data"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "snapshot")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		store := broker.NewMemoryStore(at(noon))
		n, err := store.ReadSnapshot(path)
		if n != store.Len() {
			t.Errorf("read %d entries, the store has %d", n, store.Len())
		}
		if err != nil && broker.CodeOf(err) == "" {
			t.Errorf("got the error %v without a code", err)
		}
		again := broker.NewMemoryStore(at(noon))
		if wrote, err := store.WriteSnapshot(path); wrote != n || err != nil {
			t.Fatalf("wrote %d entries, %v; want %d", wrote, err, n)
		}
		if read, err := again.ReadSnapshot(path); read != n || err != nil {
			t.Errorf("read %d entries again, %v; want %d", read, err, n)
		}
	})
}
