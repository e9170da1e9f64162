package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	selectAnswer = `SELECT sealed FROM answers WHERE key = ? AND until > ?`

	// One that has expired gives way.
	insertAnswer = `INSERT INTO answers (key, until, sealed) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET until = excluded.until, sealed = excluded.sealed WHERE until <= ?`

	deleteAnswers = `DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE until <= ? LIMIT 1000)`
)

// KeepAnswer keeps a sealed answer to a request until a time, for the API's
// idempotency keys (api.AnswerStore). One that was kept under the key before and
// has not expired stays.
func (s *Store) KeepAnswer(ctx context.Context, key, sealed []byte, now, until time.Time) error {
	args := []any{append([]byte{}, key...), micros(until), append([]byte{}, sealed...), micros(now)}
	return s.write(ctx, func(t *transaction) error {
		_, err := t.exec(insertAnswer, args...)
		return err
	})
}

// Answer returns the answer that was kept under the key and has not expired, or
// nil.
func (s *Store) Answer(ctx context.Context, key []byte, now time.Time) ([]byte, error) {
	statement, err := s.reader(ctx, selectAnswer) //nolint:sqlclosecheck // kept for the next call
	if err != nil {
		return nil, err
	}
	var sealed []byte
	switch err := statement.QueryRowContext(ctx, key, micros(now)).Scan(&sealed); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, s.problem(ctx, err)
	}
	return sealed, nil
}

// ForgetAnswers removes answers that have expired, a thousand at a time so that
// others can write between.
func (s *Store) ForgetAnswers(ctx context.Context, now time.Time) error {
	for {
		var removed int64
		err := s.write(ctx, func(t *transaction) (err error) {
			removed, err = t.exec(deleteAnswers, micros(now))
			return err
		})
		if err != nil || removed == 0 {
			return err
		}
	}
}
