package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/crossaccount/crossaccount/broker"
)

const (
	selectSession = `SELECT expires, sealed FROM broker_sessions WHERE key = ? AND expires > ?`

	insertSession = `INSERT INTO broker_sessions (key, expires, sealed) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, sealed = excluded.sealed`

	deleteSession = `DELETE FROM broker_sessions WHERE key = ?`

	// Whoever has the claim may have it again, and others once it has ended.
	insertClaim = `INSERT INTO broker_claims (key, owner, until) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until
		WHERE owner = excluded.owner OR until <= ?`

	deleteClaim    = `DELETE FROM broker_claims WHERE key = ?`
	deleteOwnClaim = `DELETE FROM broker_claims WHERE key = ? AND owner = ?`

	// A few with every new session, so that neither table grows for ever and
	// nobody waits for a large deletion.
	pruneSessions = `DELETE FROM broker_sessions WHERE key IN (SELECT key FROM broker_sessions WHERE expires <= ? LIMIT 4)`
	pruneClaims   = `DELETE FROM broker_claims WHERE key IN (SELECT key FROM broker_claims WHERE until <= ? LIMIT 4)`
)

// Sessions returns the database as a [broker.SharedStore], with which the brokers
// of several processes on one machine call STS once for all of them. A nil now
// is [time.Now]; all processes must agree about the time.
func (s *Store) Sessions(now func() time.Time) *Sessions {
	if now == nil {
		now = time.Now
	}
	return &Sessions{s, now}
}

// Sessions is a [broker.SharedStore] in a [Store]. Its entries survive what the
// store survives. It is safe for concurrent use.
type Sessions struct {
	store *Store
	now   func() time.Time
}

var _ broker.SharedStore = (*Sessions)(nil)

// Get implements [broker.SharedStore].
func (s *Sessions) Get(ctx context.Context, key broker.Key) (broker.Sealed, bool, error) {
	statement, err := s.store.reader(ctx, selectSession) //nolint:sqlclosecheck // kept for the next call
	if err != nil {
		return broker.Sealed{}, false, err
	}
	var expires int64
	var sealed []byte
	switch err := statement.QueryRowContext(ctx, key[:], micros(s.now())).Scan(&expires, &sealed); {
	case errors.Is(err, sql.ErrNoRows):
		return broker.Sealed{}, false, nil
	case err != nil:
		return broker.Sealed{}, false, s.store.problem(ctx, err)
	}
	return broker.Sealed{Expires: moment(expires), Data: sealed}, true, nil
}

// Put implements [broker.SharedStore].
func (s *Sessions) Put(ctx context.Context, key broker.Key, entry broker.Sealed) error {
	data := append([]byte{}, entry.Data...)
	now := micros(s.now())
	return s.all(ctx, []step{
		{insertSession, []any{key[:], micros(entry.Expires), data}},
		{deleteClaim, []any{key[:]}},
		{pruneSessions, []any{now}},
		{pruneClaims, []any{now}},
	})
}

// Claim implements [broker.SharedStore].
func (s *Sessions) Claim(ctx context.Context, key broker.Key, owner string, lease time.Duration) (bool, error) {
	now := s.now()
	changed := make(chan int64, 1) // read only if the write ended
	err := s.store.write(ctx, func(t *transaction) error {
		n, err := t.exec(insertClaim, key[:], []byte(owner), micros(now.Add(lease)), micros(now))
		changed <- n
		return err
	})
	if err != nil {
		return false, err
	}
	return <-changed > 0, nil
}

// Release implements [broker.SharedStore].
func (s *Sessions) Release(ctx context.Context, key broker.Key, owner string) error {
	return s.all(ctx, []step{{deleteOwnClaim, []any{key[:], []byte(owner)}}})
}

// Delete implements [broker.SharedStore].
func (s *Sessions) Delete(ctx context.Context, key broker.Key) error {
	return s.all(ctx, []step{{deleteSession, []any{key[:]}}, {deleteClaim, []any{key[:]}}})
}

// A step is a statement and what it is about.
type step struct {
	text string
	args []any
}

// all runs the steps in one transaction.
func (s *Sessions) all(ctx context.Context, steps []step) error {
	return s.store.write(ctx, func(t *transaction) error {
		for _, step := range steps {
			if _, err := t.exec(step.text, step.args...); err != nil {
				return err
			}
		}
		return nil
	})
}
