-- Answers to requests that may come again under one Idempotency-Key, for a day. They may have a secret in them that is shown once, so they are sealed.

CREATE TABLE idempotent_answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- Who asked.
    caller TEXT NOT NULL,
    -- SHA-256 of the key.
    key_hash TEXT NOT NULL,
    -- SHA-256 of method, path and body.
    request_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    UNIQUE (caller, key_hash)
);

CREATE INDEX idempotent_answers_by_age ON idempotent_answers (created_at);

-- Sources of one host by id: by their key they would have to be sorted.
CREATE INDEX sources_by_host ON sources (host, id);

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
