package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"time"
)

// SchemaVersion looks at a database without changing it and returns the version
// of its tables, 0 if it has none yet, and the version that this program brings
// them to when it opens the database. A file that [Open] would refuse is refused
// in the same way.
func SchemaVersion(ctx context.Context, path string) (current, newest int, err error) {
	const busy = 5 * time.Second
	if path, err = filepath.Abs(path); err != nil {
		return 0, 0, invalidFile("its path cannot be made absolute", err)
	}
	if err := inspect(ctx, path, busy); err != nil {
		return 0, 0, err
	}
	db, err := sql.Open("sqlite", dsn(path, busy, "mode=ro"))
	if err != nil {
		return 0, 0, invalidFile("cannot be opened", err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", versionTable).Scan(&tables); err != nil {
		return 0, 0, invalidFile("cannot be read", err)
	}
	if tables > 0 {
		if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&current); err != nil {
			return 0, 0, invalidFile("cannot be read", err)
		}
	}
	return current, newestVersion(), nil
}
