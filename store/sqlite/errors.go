package sqlite

import (
	"context"
	"database/sql"
	"errors"

	driver "modernc.org/sqlite"
	result "modernc.org/sqlite/lib"

	"github.com/crossaccount/crossaccount"
)

// resultCode returns SQLite's extended result code, or 0 if the error is not
// one of SQLite's.
//
// https://www.sqlite.org/rescode.html
func resultCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// taken reports whether a unique index refused a row. Which one it was is not a
// part of the code.
func taken(err error) bool {
	code := resultCode(err)
	return code == result.SQLITE_CONSTRAINT_UNIQUE || code == result.SQLITE_CONSTRAINT_PRIMARYKEY
}

// problem makes an error of ours out of one of the database. Nothing of SQLite's
// text is shown; it is the cause, for logs.
func (s *Store) problem(ctx context.Context, err error) error {
	var ours *crossaccount.Error
	if errors.As(err, &ours) {
		return ours
	}
	if ctx.Err() != nil {
		return cancelled(ctx.Err())
	}
	switch resultCode(err) & 0xff {
	case result.SQLITE_BUSY, result.SQLITE_LOCKED:
		return crossaccount.NewError(crossaccount.CodeStorage, "another process keeps the database locked", "try again; if it stays so, find out which process has the file open", err)
	case result.SQLITE_FULL:
		return crossaccount.NewError(crossaccount.CodeStorage, "there is no space left for the database", "make space on its file system", err)
	case result.SQLITE_READONLY, result.SQLITE_PERM:
		return crossaccount.NewError(crossaccount.CodeStorage, "the database may not be written", "check the permissions of the file and of its folder", err)
	case result.SQLITE_CORRUPT, result.SQLITE_NOTADB:
		return crossaccount.NewError(crossaccount.CodeStorage, "the database is damaged", "restore it from a backup", err)
	}
	select {
	case <-s.closing:
		return closed()
	default:
		return failed("the database failed", err)
	}
}

func cancelled(cause error) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeCancelled, "the call ended before it was finished", "", cause)
}

func conflict(message string) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeConflict, message, "read it again and retry", nil)
}

func unknownCursor() *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeInvalidRequest, "cursor: is not one of this listing", "leave it empty to start again", nil)
}

func failed(message string, cause error) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeStorage, message, "the cause is in the log", cause)
}

func closed() *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeStorage, "the database was closed", "the service is shutting down; try again later", sql.ErrConnDone)
}

func invalid(message, remedy string) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, "sqlite: "+message, remedy, nil)
}

func invalidFile(what string, cause error) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, "sqlite: the database file "+what, "check the path, the permissions of the file and those of its folder", cause)
}

func invalidBackup(what string, cause error) *crossaccount.Error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, "sqlite: the backup file "+what, "name a file that does not exist, in a folder that does", cause)
}
