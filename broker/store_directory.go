package broker

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A DirectoryStore is a [SharedStore] in a folder of files, for several processes
// on one machine and for warm restarts. It holds nothing in memory: a process that
// starts reads an entry when it is first asked for it.
//
// Entries are files of mode 0600 that appear at once or not at all. They are not
// flushed to the disk: after a crash of the machine some are missing or empty,
// and cost a call of STS each. Who may call STS for a key is decided under a lock
// that the operating system releases when a process dies. Network file systems
// often lack such locks; do not use them.
//
// It is safe for concurrent use.
type DirectoryStore struct {
	path string
	now  func() time.Time
	puts atomic.Uint64
}

const (
	sessionSuffix = ".session"
	claimSuffix   = ".claim"
	lockName      = "lock"

	pruneEvery   = 64 // puts
	lockInterval = 2 * time.Millisecond
	staleWriting = time.Minute
)

// OpenDirectoryStore opens the store in a folder and makes the folder, with mode
// 0700, if it does not exist. A folder that others than its owner can use is
// refused. A nil now is [time.Now].
//
// It needs the file locks of Unix and refuses to open on other systems.
func OpenDirectoryStore(path string, now func() time.Time) (*DirectoryStore, error) {
	if now == nil {
		now = time.Now
	}
	if !canLock {
		return nil, invalid("a directory store needs the file locks of Unix; use another shared store on this system")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, invalid("the folder " + path + " of the directory store has no absolute path")
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Code: CodeInvalidRequest, Message: "the folder " + path + " of the directory store cannot be made", cause: err}
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, &Error{Code: CodeInvalidRequest, Message: "the folder " + path + " of the directory store cannot be used", cause: err}
	case !info.IsDir():
		return nil, invalid(path + " is not a folder; name one for the directory store")
	case !private(info) || !ours(info):
		return nil, invalid("the folder " + path + " of the directory store must belong to the user that runs the service, and nobody else may use it: chmod 700 it")
	}
	return &DirectoryStore{path: path, now: now}, nil
}

// shard returns the folder for a key. There are 256 of them, so that none grows
// large and processes rarely wait for each other.
func (s *DirectoryStore) shard(key Key) string {
	return filepath.Join(s.path, hex.EncodeToString(key[:1]))
}

func (s *DirectoryStore) file(key Key, suffix string) string {
	return filepath.Join(s.shard(key), hex.EncodeToString(key[:])+suffix)
}

// Get implements [SharedStore]. A file that is damaged is one that is not there.
func (s *DirectoryStore) Get(ctx context.Context, key Key) (Sealed, bool, error) {
	if err := ctx.Err(); err != nil {
		return Sealed{}, false, err
	}
	entry, err := readEntry(s.file(key, sessionSuffix), key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		return Sealed{}, false, nil
	}
	if err != nil {
		return Sealed{}, false, err
	}
	return entry, entry.Expires.After(s.now()), nil
}

func readEntry(path string, key Key) (Sealed, error) {
	file, err := os.Open(path)
	if err != nil {
		return Sealed{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Sealed{}, err
	}
	if info.Size() > int64(entryHeader+maxSealed) || !info.Mode().IsRegular() {
		return Sealed{}, errDamaged
	}
	data := make([]byte, info.Size())
	if _, err := file.ReadAt(data, 0); errors.Is(err, io.EOF) {
		return Sealed{}, errDamaged
	} else if err != nil {
		return Sealed{}, err
	}
	stored, entry, err := decodeEntry(bytes.NewReader(data))
	if err != nil || stored != key {
		return Sealed{}, errDamaged
	}
	return entry, nil
}

// Put implements [SharedStore].
func (s *DirectoryStore) Put(ctx context.Context, key Key, entry Sealed) error {
	if len(entry.Data) > maxSealed {
		return invalid(fmt.Sprintf("the entry for a shared store is larger than %d bytes", maxSealed))
	}
	return s.locked(ctx, key, func() error {
		err := replaceFile(s.file(key, sessionSuffix), false, func(to io.Writer) error {
			_, err := to.Write(encodeEntry(nil, key, entry))
			return err
		})
		if err != nil {
			return err
		}
		if s.puts.Add(1)%pruneEvery == 0 {
			_, _ = s.pruneShard(s.shard(key)) // what cannot be removed is no reason not to store; Prune tells
		}
		return remove(s.file(key, claimSuffix))
	})
}

// Claim implements [SharedStore].
func (s *DirectoryStore) Claim(ctx context.Context, key Key, owner string, lease time.Duration) (claimed bool, err error) {
	err = s.locked(ctx, key, func() error {
		held, err := readClaim(s.file(key, claimSuffix))
		if err != nil {
			return err
		}
		now := s.now()
		if held.owner != owner && held.until.After(now) {
			return nil
		}
		claimed = true
		return replaceFile(s.file(key, claimSuffix), false, func(to io.Writer) error {
			_, err := fmt.Fprintf(to, "%d %s", now.Add(lease).UnixNano(), owner)
			return err
		})
	})
	return claimed && err == nil, err
}

// readClaim returns the claim in a file; the zero claim, which has ended, if there
// is none or it cannot be understood.
func readClaim(path string) (claim, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	nanoseconds, owner, _ := strings.Cut(string(data), " ")
	until, err := strconv.ParseInt(nanoseconds, 10, 64)
	if err != nil {
		return claim{}, nil //nolint:nilerr // a damaged claim is none
	}
	return claim{owner, time.Unix(0, until)}, nil
}

// Release implements [SharedStore].
func (s *DirectoryStore) Release(ctx context.Context, key Key, owner string) error {
	return s.locked(ctx, key, func() error {
		held, err := readClaim(s.file(key, claimSuffix))
		if err != nil || held.owner != owner {
			return err
		}
		return remove(s.file(key, claimSuffix))
	})
}

// Delete implements [SharedStore].
func (s *DirectoryStore) Delete(ctx context.Context, key Key) error {
	return s.locked(ctx, key, func() error {
		return errors.Join(remove(s.file(key, sessionSuffix)), remove(s.file(key, claimSuffix)))
	})
}

// Prune removes what has expired or was left behind by a process that died, and
// returns how many files it removed. Storing entries does the same bit by bit.
func (s *DirectoryStore) Prune(ctx context.Context) (removed int, err error) {
	for shard := range 256 {
		key := Key{byte(shard)}
		if _, err := os.Stat(s.shard(key)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := s.locked(ctx, key, func() error {
			n, err := s.pruneShard(s.shard(key))
			removed += n
			return err
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// pruneShard removes files of one shard. The caller holds its lock.
func (s *DirectoryStore) pruneShard(shard string) (removed int, err error) {
	files, err := os.ReadDir(shard)
	if err != nil {
		return 0, err
	}
	now := s.now()
	for _, file := range files {
		path := filepath.Join(shard, file.Name())
		over := false
		switch name := file.Name(); {
		case strings.HasSuffix(name, claimSuffix):
			held, err := readClaim(path)
			over = err == nil && !held.until.After(now)
		case strings.HasSuffix(name, sessionSuffix):
			var key Key
			if _, err := hex.Decode(key[:], []byte(strings.TrimSuffix(name, sessionSuffix)[:min(64, len(name)-len(sessionSuffix))])); err != nil {
				continue // not ours
			}
			entry, err := readEntry(path, key)
			over = errors.Is(err, errDamaged) || err == nil && !entry.Expires.After(now)
		case strings.HasPrefix(name, temporary):
			// What we write ourselves is written under the lock that we hold now, so
			// this was left behind; the age is for clocks that jump.
			info, err := file.Info()
			over = err == nil && now.Sub(info.ModTime()) > staleWriting
		}
		if over {
			if err := remove(path); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}

// locked runs do while no other process or goroutine is in locked for the same
// shard. A process that was stopped while it held the lock makes others fail
// when their context ends.
func (s *DirectoryStore) locked(ctx context.Context, key Key, do func() error) error {
	if err := os.Mkdir(s.shard(key), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	unlock, err := lockFile(ctx, filepath.Join(s.shard(key), lockName))
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// lockFile makes a file if there is none and waits for its lock, if the system has
// locks.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = file.Close() }
	if !canLock {
		return unlock, nil
	}
	for {
		held, err := tryLock(file)
		if err != nil {
			unlock()
			return nil, err
		}
		if held {
			return unlock, nil
		}
		wait := time.NewTimer(lockInterval)
		select {
		case <-ctx.Done():
			wait.Stop()
			unlock()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
