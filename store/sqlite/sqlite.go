// Package sqlite is a [crossaccount.CredentialStorage] in one SQLite file. It
// needs no C compiler, no server and no administration, survives crashes, and
// stays fast at a million integrations.
//
//	store, err := sqlite.Open(ctx, "/var/lib/acme/crossaccount.db", sqlite.Options{})
//	…
//	defer store.Close()
//	client, err := crossaccount.New(config, crossaccount.WithStorage(store), …)
//
// Several processes on one machine may use the same file. Files on network file
// systems do not work: SQLite's write-ahead log needs shared memory.
//
// # Durability
//
// The law of storage wants a write that returned nil to survive a crash, also
// one of the machine. Therefore the database runs with synchronous=FULL, which
// waits for the disk at every commit; NORMAL would keep the file consistent but
// could lose the last commits when the power fails, and with them external IDs
// that customers have already put into their trust policies. So that many
// onboardings at once do not wait one after the other, writes that arrive while
// the disk is busy are committed together. Each of them still succeeds or fails
// by itself.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount"
)

// Options change how [Open] opens a database. The zero value is what most
// programs want.
type Options struct {
	// Readers is how many connections read at the same time; one for each
	// processor, and at least four, if 0. There is always one for writing.
	Readers int

	// BusyTimeout is how long a call waits for another process that is writing,
	// 10 seconds if 0. After that it fails with the code storage.
	BusyTimeout time.Duration
}

// A Store is an open database. It is safe for concurrent use.
type Store struct {
	path    string
	busy    time.Duration
	writer  *sql.DB // one connection; used by the goroutine of writeLoop only
	readers *sql.DB

	prepared map[string]*sql.Stmt // :: statements of the writer, by their text; never changes after Open
	reads    sync.Map             // statements of the readers, by their text

	writes   chan *write
	closing  chan struct{}
	stopped  chan struct{} // closed when writeLoop has ended
	closeAll func() error
}

var _ crossaccount.CredentialStorage = (*Store)(nil)

// Open opens the database at the path, making it with mode 0600 if there is
// none, and brings its tables up to date. The folder must exist. A file that is
// no SQLite database, belongs to another program, was written by a newer version
// of this one, or that others than its owner may use is refused with the code
// invalid_config and left as it is.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, invalid("the path of the database must name a file", "for storage in memory use crossaccount.NewMemoryStorage")
	}
	if options.Readers < 0 || options.BusyTimeout < 0 {
		return nil, invalid("options must not be negative", "")
	}
	if options.Readers == 0 {
		options.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	if options.BusyTimeout == 0 {
		options.BusyTimeout = 10 * time.Second
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, invalidFile("its path cannot be made absolute", err)
	}
	if err := create(path); err != nil {
		return nil, err
	}
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	if err := inspect(ctx, path, options.BusyTimeout); err != nil {
		return nil, err
	}
	s := &Store{
		path:     path,
		busy:     options.BusyTimeout,
		prepared: make(map[string]*sql.Stmt),
		writes:   make(chan *write),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	s.closeAll = sync.OnceValue(s.close)
	if s.writer, err = sql.Open("sqlite", writerDSN(path, options.BusyTimeout)); err != nil {
		return nil, invalidFile("cannot be opened", err)
	}
	s.writer.SetMaxOpenConns(1)
	if s.readers, err = sql.Open("sqlite", dsn(path, options.BusyTimeout, "_query_only=1", cache(readerCache))); err != nil {
		return nil, errors.Join(invalidFile("cannot be opened", err), s.writer.Close())
	}
	s.readers.SetMaxOpenConns(options.Readers)
	s.readers.SetMaxIdleConns(options.Readers)
	err = s.migrate(ctx)
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		_ = errors.Join(s.readers.Close(), s.writer.Close()) // err says more
		return nil, err
	}
	go s.writeLoop()
	return s, nil
}

// create makes an empty file that only its owner can use. SQLite gives its log
// files the mode of the database.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return invalidFile("cannot be created", err)
	}
	return file.Close()
}

// checkPrivate refuses files that others than their owner may read or write:
// who our customers are and which roles they gave us is nobody else's business,
// and whoever can write could give one customer's role to another.
func checkPrivate(path string) error {
	if runtime.GOOS == "windows" {
		return nil // permissions are elsewhere
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return invalidFile("cannot be examined", err)
		case info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0:
			return invalid(fmt.Sprintf("%s has mode %04o, so others than its owner may use it", name, info.Mode().Perm()), "run chmod 0600 "+name)
		}
	}
	return nil
}

// dsn names the database for a connection. Every connection checks foreign
// keys and waits for other processes.
func dsn(path string, busy time.Duration, parameters ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	parameters = append(parameters,
		"_busy_timeout="+strconv.FormatInt(busy.Milliseconds(), 10),
		"_foreign_keys=1", "_dqs=0", "_defensive=1", "_error_rc=1")
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: strings.Join(parameters, "&")}).String()
}

// Sizes of page caches, in KiB: of the writer, who touches every index with
// every record, and of each reader.
const (
	writerCache = 64 << 10
	readerCache = 8 << 10
)

func cache(size int) string { return "_pragma=cache_size(-" + strconv.Itoa(size) + ")" }

// writerDSN adds what only the writing connection decides. On macOS a disk
// keeps what fsync wrote in its cache unless it is told otherwise; elsewhere
// fullfsync means nothing.
func writerDSN(path string, busy time.Duration) string {
	return dsn(path, busy, "_journal_mode=WAL", "_synchronous=FULL", "_txlock=immediate",
		cache(writerCache), "_pragma=fullfsync(1)", "_pragma=checkpoint_fullfsync(1)")
}

// Close ends writing, closes the database and merges its log into the file.
// Calls that are under way end with the code storage. Closing again does
// nothing.
func (s *Store) Close() error { return s.closeAll() }

func (s *Store) close() error {
	close(s.closing)
	<-s.stopped
	// The writer is last: closing the last connection merges the log, which
	// the readers may not.
	if err := errors.Join(s.readers.Close(), s.writer.Close()); err != nil {
		return failed("the database could not be closed properly", err)
	}
	return nil
}

// Backup writes a copy of the database as it is now into a new file with mode
// 0600, while the store is in use. The copy is complete and durable when Backup
// returns nil; otherwise there is no file. External IDs in it are as sealed as
// in the original, so keep the keys elsewhere.
func (s *Store) Backup(ctx context.Context, path string) error {
	select {
	case <-s.closing:
		return closed()
	default:
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return invalidBackup("cannot be created", err)
	}
	if err = s.copyInto(ctx, path); err != nil {
		err = s.problem(ctx, err)
	} else if syncing := file.Sync(); syncing != nil {
		err = invalidBackup("cannot be written", syncing)
	}
	if closing := file.Close(); err == nil && closing != nil {
		err = invalidBackup("cannot be written", closing)
	}
	if err != nil {
		_ = os.Remove(path) // it may stay if the folder was changed meanwhile
	}
	return err
}

// copyInto needs a connection of its own: those of the readers may not write,
// not even elsewhere.
func (s *Store) copyInto(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(s.path, s.busy))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	return err
}
