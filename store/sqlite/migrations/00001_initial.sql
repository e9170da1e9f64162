-- Times are microseconds since 1970 in UTC. A time that was never set is that
-- of year 1, as in Go, so that "checked before" needs no special case.
-- Text compares byte by byte: customers whose ids differ in case are different.

-- +goose Up
CREATE TABLE integrations (
    customer_id        TEXT    NOT NULL CHECK (customer_id <> ''),
    id                 TEXT    NOT NULL CHECK (id <> ''),
    customer_name      TEXT    NOT NULL,
    state              TEXT    NOT NULL,
    sealed_external_id BLOB,
    external_id_index  BLOB,
    pending_key        TEXT    NOT NULL,
    account_id         TEXT    NOT NULL,
    region             TEXT    NOT NULL,
    stack_name         TEXT    NOT NULL,
    template_key       TEXT    NOT NULL,
    template_sha256    TEXT    NOT NULL,
    linked_at          INTEGER NOT NULL,
    role_arn           TEXT    NOT NULL,
    role_key           TEXT    NOT NULL,
    verification       TEXT,
    candidate          TEXT,
    degraded_reason    TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    activated_at       INTEGER NOT NULL,
    checked_at         INTEGER NOT NULL,
    version            INTEGER NOT NULL,
    PRIMARY KEY (customer_id, id)
) STRICT;

-- A role and a pending key are claimed until the integration is revoked.
CREATE UNIQUE INDEX integrations_role ON integrations (role_key)
    WHERE role_key <> '' AND state <> 'revoked';
CREATE UNIQUE INDEX integrations_pending ON integrations (customer_id, pending_key)
    WHERE pending_key <> '' AND state <> 'revoked';

-- One index for each way to list. Listings are ordered by customer and id.
CREATE INDEX integrations_state ON integrations (state, customer_id, id, checked_at);
CREATE INDEX integrations_checked ON integrations (state, checked_at, customer_id, id);
CREATE INDEX integrations_account ON integrations (account_id, customer_id, id)
    WHERE account_id <> '';

-- Every external ID that was ever stored, by its blind index, with the first
-- integration that stored it. Nothing is ever removed: these are the tombstones.
CREATE TABLE external_ids (
    external_id_index BLOB NOT NULL PRIMARY KEY,
    customer_id       TEXT NOT NULL,
    integration_id    TEXT NOT NULL,
    FOREIGN KEY (customer_id, integration_id) REFERENCES integrations (customer_id, id)
) STRICT, WITHOUT ROWID;

-- The primary key is a part of every index here.
CREATE TABLE audit (
    id             TEXT    NOT NULL PRIMARY KEY,
    time           INTEGER NOT NULL,
    customer_id    TEXT    NOT NULL,
    integration_id TEXT    NOT NULL,
    actor          TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    role_arn       TEXT    NOT NULL,
    session_name   TEXT    NOT NULL,
    request_id     TEXT    NOT NULL,
    details        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_time ON audit (time, id);
CREATE INDEX audit_customer ON audit (customer_id, time, id);
CREATE INDEX audit_integration ON audit (customer_id, integration_id, time, id);
CREATE INDEX audit_integration_time ON audit (integration_id, time, id)
    WHERE integration_id <> '';

-- Autoincrement never uses a number twice, so the order is that of commits even
-- after the newest event was acknowledged.
CREATE TABLE outbox (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE,
    time           INTEGER NOT NULL,
    type           TEXT    NOT NULL,
    customer_id    TEXT    NOT NULL,
    integration_id TEXT    NOT NULL,
    details        TEXT
) STRICT;

-- What the law forbids is refused whoever asks for it.
-- +goose StatementBegin
CREATE TRIGGER integrations_are_kept BEFORE DELETE ON integrations
BEGIN SELECT RAISE(ABORT, 'integrations are never deleted'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER external_ids_are_kept BEFORE DELETE ON external_ids
BEGIN SELECT RAISE(ABORT, 'external IDs are never forgotten'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER external_ids_stay BEFORE UPDATE ON external_ids
BEGIN SELECT RAISE(ABORT, 'an external ID belongs to the first integration that stored it'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
-- +goose StatementEnd
