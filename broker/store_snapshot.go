package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// snapshotMagic begins a snapshot. After it comes, for each entry, what
// encodeEntry writes.
const snapshotMagic = "crossaccount broker snapshot 1\n"

// Limits of one entry in a file, so that a damaged length does not exhaust
// memory. AWS bounds a session token to a few kilobytes; it warns against relying
// on a size.
const (
	maxSealed   = 64 << 10
	entryHeader = len(Key{}) + 8 + 4 // key, expiry in Unix seconds, length of the data
)

func encodeEntry(to []byte, key Key, entry Sealed) []byte {
	to = append(to, key[:]...)
	to = binary.BigEndian.AppendUint64(to, uint64(entry.Expires.Unix()))
	to = binary.BigEndian.AppendUint32(to, uint32(len(entry.Data)))
	return append(to, entry.Data...)
}

var errDamaged = errors.New("is damaged")

// decodeEntry reads one entry. It returns io.EOF if there is none.
func decodeEntry(from io.Reader) (Key, Sealed, error) {
	var header [entryHeader]byte
	if n, err := io.ReadFull(from, header[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return Key{}, Sealed{}, io.EOF
		}
		return Key{}, Sealed{}, errDamaged
	}
	key := Key(header[:len(Key{})])
	seconds := binary.BigEndian.Uint64(header[len(Key{}):])
	length := binary.BigEndian.Uint32(header[len(Key{})+8:])
	if length > maxSealed || seconds > 1<<40 {
		return Key{}, Sealed{}, errDamaged
	}
	entry := Sealed{Expires: time.Unix(int64(seconds), 0).UTC(), Data: make([]byte, length)}
	if _, err := io.ReadFull(from, entry.Data); err != nil {
		return Key{}, Sealed{}, errDamaged
	}
	return key, entry, nil
}

// WriteSnapshot writes the entries that have not expired into a file that only
// its owner can use, so that a process that starts later need not call STS for
// them. The file is replaced at once or not at all. It returns how many entries it
// has.
//
// The entries are sealed, but whoever gets the file and the [Sealer]'s key has
// the credentials of every customer for up to an hour.
func (s *MemoryStore) WriteSnapshot(path string) (int, error) {
	now := s.now()
	s.mu.Lock()
	entries := maps.Clone(s.entries) // so that nobody waits for the disk
	s.mu.Unlock()
	count := 0
	err := replaceFile(path, true, func(to io.Writer) error {
		buffered := bufio.NewWriterSize(to, 1<<20)
		_, err := buffered.WriteString(snapshotMagic)
		for key, entry := range entries {
			if err != nil {
				return err
			}
			if entry.Expires.After(now) && len(entry.Data) <= maxSealed {
				count++
				_, err = buffered.Write(encodeEntry(buffered.AvailableBuffer(), key, entry))
			}
		}
		return errors.Join(err, buffered.Flush())
	})
	if err != nil {
		return 0, &Error{Code: CodeUnavailable, Message: "the snapshot cannot be written to " + path, cause: err}
	}
	return count, nil
}

// ReadSnapshot adds the entries of a file that [MemoryStore.WriteSnapshot] wrote
// and that have not expired, unless the store has the key already, and returns how
// many they were. They are opened when they are needed; those that somebody
// tampered with are found out then and ignored.
//
// A file that does not exist has no entries. One that others than its owner may
// read or write is refused. Of a damaged file, the entries before the damage
// are added, and an error says so. An error is worth a log entry and no reason
// not to start.
func (s *MemoryStore) ReadSnapshot(path string) (int, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, &Error{Code: CodeUnavailable, Message: "the snapshot " + path + " cannot be read", cause: err}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, &Error{Code: CodeUnavailable, Message: "the snapshot " + path + " cannot be read", cause: err}
	}
	if !info.Mode().IsRegular() || !private(info) {
		return 0, invalid("the snapshot " + path + " must be a file that only its owner can use; chmod 600 it if you trust its content")
	}
	return s.readSnapshot(path, bufio.NewReaderSize(file, 1<<20))
}

func (s *MemoryStore) readSnapshot(path string, from io.Reader) (added int, err error) {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(from, magic); err != nil || string(magic) != snapshotMagic {
		return 0, invalid("the file " + path + " is not a snapshot of this version")
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		key, entry, err := decodeEntry(from)
		switch {
		case errors.Is(err, io.EOF):
			return added, nil
		case err != nil:
			return added, &Error{Code: CodeUnavailable, Message: "the snapshot " + path + " is damaged; the entries before the damage were read", cause: err}
		}
		if _, have := s.entries[key]; !have && entry.Expires.After(now) {
			s.entries[key] = entry
			added++
		}
		s.prunes()
	}
}

// private reports whether nobody but the owner can use a file.
func private(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }

// replaceFile gives a file new content at once or not at all, with mode 0600. It
// survives a crash of the machine if it is to.
func replaceFile(path string, durable bool, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporary+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // err says more
		}
	}()
	err = write(file)
	if err == nil && durable {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return err
}

// temporary begins the names of files that are being written.
const temporary = ".writing-"
