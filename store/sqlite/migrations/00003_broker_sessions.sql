-- Sealed sessions that several processes share, and who obtains the next one.
-- Losing any of it costs calls of STS and nothing else.

-- +goose Up
CREATE TABLE broker_sessions (
    key     BLOB    NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL,
    sealed  BLOB    NOT NULL
) STRICT;
CREATE INDEX broker_sessions_expires ON broker_sessions (expires);

CREATE TABLE broker_claims (
    key   BLOB    NOT NULL PRIMARY KEY,
    owner BLOB    NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX broker_claims_until ON broker_claims (until);
