package sqlite

import "context"

// maxTogether is how many writes share one commit at most. It bounds how long
// the first of them waits for the others.
const maxTogether = 128

// A write waits for its turn. Run must not touch what its caller can change,
// and must change nothing outside of the transaction.
type write struct {
	ctx  context.Context
	run  func(*transaction) error
	err  error // of run
	done chan error
}

// write runs a function in a transaction and returns when its effects are
// durable, or undone. If the context ends first, write returns at once and the
// outcome is unknown, as the law allows.
func (s *Store) write(ctx context.Context, run func(*transaction) error) error {
	w := &write{ctx: ctx, run: run, done: make(chan error, 1)}
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return cancelled(ctx.Err())
	case <-s.closing:
		return closed()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return cancelled(ctx.Err())
	}
}

// writeLoop commits writes until the store is closed. While one commit waits
// for the disk, more writes arrive; the next commit takes them all.
func (s *Store) writeLoop() {
	defer close(s.stopped)
	for {
		select {
		case first := <-s.writes:
			s.commit(s.more(first))
		case <-s.closing:
			return
		}
	}
}

// more returns the writes that are waiting already.
func (s *Store) more(first *write) []*write {
	together := []*write{first}
	for len(together) < maxTogether {
		select {
		case next := <-s.writes:
			together = append(together, next)
		default:
			return together
		}
	}
	return together
}

// commit runs writes in one transaction and tells each how it went.
func (s *Store) commit(together []*write) {
	// The transaction does not end with the context of one of its writes.
	ctx := context.Background()
	err := s.runAll(ctx, together)
	for _, w := range together {
		if err != nil {
			// Also those that were refused: what they were refused for may be
			// undone now.
			w.err = s.problem(ctx, err)
		}
		w.done <- w.err
	}
}

func (s *Store) runAll(ctx context.Context, together []*write) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	t := &transaction{Context: ctx, tx: tx, prepared: s.prepared}
	for _, w := range together {
		if w.ctx.Err() != nil {
			w.err = cancelled(w.ctx.Err())
			continue
		}
		if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
			return err
		}
		if err := w.run(t); err != nil {
			w.err = s.problem(ctx, err)
			// After some errors, such as a full disk, SQLite has undone the whole
			// transaction already. Then all writes fail for the first one's reason.
			if _, gone := tx.ExecContext(ctx, "ROLLBACK TO one"); gone != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "RELEASE one"); err != nil {
			return err
		}
	}
	return tx.Commit()
}
