package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	result "modernc.org/sqlite/lib"
)

// migrations are applied in the order of their numbers, each in a transaction.
// A file that was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our databases, so that one of another program is not
// taken for ours: "xacc".
//
// https://www.sqlite.org/pragma.html#pragma_application_id
const applicationID = 0x78616363

// versionTable holds the numbers of the migrations that were applied.
const versionTable = "schema_versions"

// inspect looks at a file without changing anything and refuses it if it is not
// ours or too new.
func inspect(ctx context.Context, path string, busy time.Duration) error {
	db, err := sql.Open("sqlite", dsn(path, busy, "mode=ro"))
	if err != nil {
		return invalidFile("cannot be opened", err)
	}
	defer db.Close()
	var mark, tables, versions int
	err = db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		count(*), count(*) FILTER (WHERE name = ?) FROM sqlite_schema WHERE type = 'table'`, versionTable).Scan(&mark, &tables, &versions)
	switch {
	case ctx.Err() != nil:
		return cancelled(ctx.Err())
	case resultCode(err)&0xff == result.SQLITE_NOTADB:
		return invalid("the file is not a SQLite database", "name another file; this one was left as it is")
	case err != nil:
		return invalidFile("cannot be read", err)
	case tables > 0 && mark != applicationID:
		return invalid("the file is the database of another program", "name another file; this one was left as it is")
	case versions == 0:
		return nil
	}
	var current int
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&current); err != nil {
		return invalidFile("cannot be read", err)
	}
	if newest := newestVersion(); current > newest {
		return invalid(fmt.Sprintf("the database was written by a newer version of this program: its tables have version %d, this program knows %d", current, newest),
			"use the newer program, or restore a backup from before the upgrade")
	}
	return nil
}

// newestVersion returns the number of the last migration that this program has.
func newestVersion() (newest int) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		panic("sqlite: no migrations are embedded")
	}
	if _, err := fmt.Sscanf(files[len(files)-1], "migrations/%d_", &newest); err != nil {
		panic("sqlite: a migration has no number: " + files[len(files)-1])
	}
	return newest
}

// migrate brings the tables up to date.
func (s *Store) migrate(ctx context.Context) error {
	if _, err := s.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return s.problem(ctx, err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return failed("the migrations cannot be read", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return failed("the migrations cannot be read", err)
	}
	// Two processes that start together may both want to apply the same
	// migration. The transaction of one comes first, the other fails and then
	// finds the work done.
	_, err = provider.Up(ctx)
	if err != nil && ctx.Err() == nil {
		if pending, looked := provider.HasPending(ctx); looked == nil && !pending {
			err = nil
		}
	}
	if err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) && partial.Failed != nil {
			name := strings.TrimPrefix(partial.Failed.Source.Path, "migrations/")
			return failed("the tables could not be brought up to date: migration "+name+" failed", err)
		}
		return s.problem(ctx, err)
	}
	return nil
}
