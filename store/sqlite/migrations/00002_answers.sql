-- Sealed answers to requests with idempotency keys. The key is a blind index.

-- +goose Up
CREATE TABLE answers (
    key    BLOB    NOT NULL PRIMARY KEY,
    until  INTEGER NOT NULL,
    sealed BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_until ON answers (until);
