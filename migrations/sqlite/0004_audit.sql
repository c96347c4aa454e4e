-- Who did what: rows that are only ever added, each with a hash over itself and the one before.
-- `before` and `after` are JSON, kept as the text that was hashed: as a JSON type it would come back differently written.

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    user_id BIGINT,
    token_id BLOB,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    project_id BIGINT,
    resource_type TEXT,
    resource_id TEXT,
    resource_label TEXT,
    before TEXT,
    after TEXT,
    ip TEXT,
    user_agent TEXT,
    request_id TEXT,
    hash TEXT NOT NULL
);

CREATE INDEX audit_by_age ON audit (at, seq);
CREATE INDEX audit_by_user ON audit (user_id, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_resource ON audit (resource_type, resource_id, seq);
CREATE INDEX audit_by_project ON audit (project_id, seq);

-- The newest row, so that rows that are missing at the end are missed. There from the start: its absence is a finding.
CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- A second line: it stops accidents, and whoever may drop a trigger is found out by the hashes.
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'rows of the audit are never changed');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'rows of the audit are never deleted');
END;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
