package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

// otherProcess names the folder of the store in the environment of a process that
// is to compete for it.
const otherProcess = "BROKER_TEST_STORE"

const contested = 40 // keys

func contestedKey(i int) broker.Key { return broker.Key{byte(i % 3), byte(i)} }

// compete claims every key and stores what is large and tells who stored it, and
// prints the keys it got. It reads all the time and checks what it reads.
func compete(dir, name string) error {
	store, err := broker.OpenDirectoryStore(dir, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for round := range 5 {
		for i := range contested {
			key := contestedKey(i)
			if round == 0 {
				mine, err := store.Claim(ctx, key, name, time.Hour)
				if err != nil {
					return err
				}
				if mine {
					fmt.Println(i)
				}
			}
			if i%2 == 0 { // these claims stay
				continue
			}
			data := strings.Repeat(fmt.Sprintf("%-15s\n", name), 500)
			if err := store.Put(ctx, key, broker.Sealed{Expires: time.Now().Add(time.Hour), Data: []byte(data)}); err != nil {
				return err
			}
			entry, ok, err := store.Get(ctx, key)
			if err != nil || !ok {
				return fmt.Errorf("get: %t %w", ok, err)
			}
			if first := string(entry.Data[:16]); string(entry.Data) != strings.Repeat(first, 500) {
				return errors.New("an entry is a mixture of two")
			}
		}
	}
	return nil
}

// Of processes that claim a key at once one wins, and nobody ever reads half an
// entry.
func TestDirectoryStoreAmongProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	openDirectory(t, dir, nil)
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	type process struct {
		*exec.Cmd
		out, err strings.Builder
	}
	var all []*process
	for i := range 5 {
		p := &process{Cmd: exec.CommandContext(t.Context(), test, fmt.Sprint("process-", i))}
		p.Env = append(os.Environ(), otherProcess+"="+dir)
		p.Stdout, p.Stderr = &p.out, &p.err
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	winners := map[string]int{}
	for _, p := range all {
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %s", err, p.err.String())
		}
		for lines := bufio.NewScanner(strings.NewReader(p.out.String())); lines.Scan(); {
			winners[lines.Text()]++
		}
	}
	for i := range contested {
		if n := winners[fmt.Sprint(i)]; i%2 == 0 && n != 1 {
			t.Errorf("%d processes won key %d", n, i)
		}
	}
	for _, path := range files(t, dir) {
		if strings.Contains(filepath.Base(path), "writing") {
			t.Errorf("%s is left behind", path)
		}
	}
}

// What is in the folder and is no file of the store costs nothing but itself.
func TestDirectoryStoreAmongOtherThings(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(secretFile, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := broker.Key{1}
	for name, lay := range map[string]func(session, claim string) error{
		"a link to another file": func(session, claim string) error {
			return errors.Join(os.Symlink(secretFile, session), os.Symlink(secretFile, claim))
		},
		"a link to nothing": func(session, claim string) error {
			return errors.Join(os.Symlink(secretFile+"-not", session), os.Symlink(secretFile+"-not", claim))
		},
		"a link to itself": func(session, claim string) error { return os.Symlink(session, session) },
		"a claim of another time": func(_, claim string) error {
			return os.WriteFile(claim, []byte("9223372036854775807999 somebody"), 0o600)
		},
		"a folder that cannot be pruned": func(session, _ string) error {
			return errors.Join(os.MkdirAll(filepath.Join(filepath.Dir(session), "ab.session", "more"), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sessions")
			store := openDirectory(t, dir, at(noon))
			put(t, store, key, "data", noon.Add(time.Hour))
			session := files(t, dir)[0]
			if err := os.Remove(session); err != nil {
				t.Fatal(err)
			}
			if err := lay(session, strings.TrimSuffix(session, ".session")+".claim"); err != nil {
				t.Fatal(err)
			}
			if entry, ok, _ := store.Get(t.Context(), key); ok {
				t.Errorf("got %q", entry.Data)
			}
			for range 70 { // it prunes meanwhile
				if ok, err := store.Claim(t.Context(), key, "me", time.Minute); !ok || err != nil {
					t.Fatalf("claim: %t %v", ok, err)
				}
				put(t, store, key, "data", noon.Add(time.Hour))
			}
			if ok, err := store.Claim(t.Context(), key, "other", time.Minute); !ok || err != nil {
				t.Errorf("the claim is not over: %t %v", ok, err)
			}
			if entry, ok, err := store.Get(t.Context(), key); !ok || err != nil || string(entry.Data) != "data" {
				t.Errorf("got %q %t %v", entry.Data, ok, err)
			}
			if data, err := os.ReadFile(secretFile); err != nil || string(data) != "content" {
				t.Errorf("the other file has %q, %v", data, err)
			}
			if _, err := os.Lstat(secretFile + "-not"); err == nil {
				t.Error("a file was made elsewhere")
			}
		})
	}
}
