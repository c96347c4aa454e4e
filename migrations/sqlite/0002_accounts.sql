-- Accounts: who may come in, by what they show, and what they may do where. Only hashes are kept of whatever a person or a program shows.
-- Instants are microseconds since the Unix epoch; `version` counts the changes of a row that is patched.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    display_name TEXT,
    email TEXT,
    -- What they may do everywhere; null: only what their memberships give.
    role TEXT,
    -- A PHC string; null: they cannot log in with a password.
    password TEXT,
    password_changed_at BIGINT,
    disabled_at BIGINT,
    deleted_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE UNIQUE INDEX users_by_name ON users (name_folded) WHERE deleted_at IS NULL;

CREATE TABLE memberships (
    user_id BIGINT NOT NULL REFERENCES users (id),
    project_id BIGINT NOT NULL REFERENCES projects (id),
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (user_id, project_id)
);

CREATE INDEX memberships_by_project ON memberships (project_id, user_id);

-- Who reads a project without being its member: nobody (private), or whoever is signed in (internal).
ALTER TABLE projects ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';

CREATE TABLE sessions (
    id BLOB PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- logout, revoked, reused, password
    ended_by TEXT,
    ip TEXT,
    user_agent TEXT
);

CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Each is used once; one that comes again later than a moment after that ends its session.
CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY NOT NULL,
    session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

CREATE TABLE api_tokens (
    id BLOB PRIMARY KEY NOT NULL,
    -- The part of the token that is no secret, by which it is found.
    prefix TEXT UNIQUE NOT NULL,
    hash BLOB NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    -- Permissions with spaces between.
    scopes TEXT NOT NULL,
    -- Null: wherever the user may.
    project_id BIGINT REFERENCES projects (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    last_used_at BIGINT,
    last_used_ip TEXT,
    -- The token that it takes the place of.
    rotated_from BLOB,
    version BIGINT NOT NULL
);

CREATE INDEX api_tokens_by_user ON api_tokens (user_id, created_at);

-- Public halves alone: the private half of a key never leaves the process that made it.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- One row at most: the way to the first admin. Once it is used there is no other.
CREATE TABLE setup (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    hash BLOB,
    expires_at BIGINT,
    used_at BIGINT
);

-- Failed logins by account and network, by network, and by account; they are no lock.
CREATE TABLE login_failures (
    subject TEXT PRIMARY KEY NOT NULL,
    failures BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

CREATE INDEX login_failures_by_age ON login_failures (last_at);

CREATE TABLE totp (
    user_id BIGINT PRIMARY KEY NOT NULL REFERENCES users (id),
    secret BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    -- Null: not confirmed with a first code, so not asked for.
    confirmed_at BIGINT,
    -- The last step whose code was taken: each is taken once.
    last_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    user_id BIGINT NOT NULL REFERENCES users (id),
    hash BLOB NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, hash)
);

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
