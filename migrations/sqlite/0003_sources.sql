-- Sources that operators make, with secrets of their own; and what operators say of projects and pipelines beside what deliveries tell.
-- A source that is only configured has a row from its first delivery on, as before: it is not managed, and has no secrets here.

ALTER TABLE sources ADD COLUMN managed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE sources ADD COLUMN name TEXT;
ALTER TABLE sources ADD COLUMN name_folded TEXT NOT NULL DEFAULT '';
ALTER TABLE sources ADD COLUMN enabled BOOLEAN NOT NULL DEFAULT TRUE;
-- Hours without a delivery after which it is called silent; null: never.
ALTER TABLE sources ADD COLUMN silent_after BIGINT;
ALTER TABLE sources ADD COLUMN created_by BIGINT;
ALTER TABLE sources ADD COLUMN updated_at BIGINT;
ALTER TABLE sources ADD COLUMN deleted_at BIGINT;
-- Counts the changes of the row by operators.
ALTER TABLE sources ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
-- Where in the order of all changes of sources and their secrets the last one of this source stands; edges read what is above what they know.
ALTER TABLE sources ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN last_delivery_at BIGINT;

CREATE INDEX sources_by_revision ON sources (revision) WHERE revision > 0;
CREATE INDEX sources_by_name ON sources (name_folded, id);

-- The last revision that was given; its row is the lock under which sources change.
INSERT INTO meta (key, value) VALUES ('sources_revision', '0') ON CONFLICT (key) DO NOTHING;

CREATE TABLE source_secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    source_id BIGINT NOT NULL REFERENCES sources (id),
    -- hmac, token or signing_token
    kind TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- From then on it is not believed; null: for as long as it is there.
    not_after BIGINT,
    last_matched_at BIGINT
);

CREATE INDEX source_secrets_by_source ON source_secrets (source_id, id);

-- Which secret of its source a delivery was signed with; null where that is configured, or in the ledger from before.
ALTER TABLE deliveries ADD COLUMN secret_id BIGINT;

ALTER TABLE projects ADD COLUMN archived_at BIGINT;
-- Counts the changes of the row by operators; `version` is the latest telling.
ALTER TABLE projects ADD COLUMN edition BIGINT NOT NULL DEFAULT 1;

-- The operator's name for it, which no delivery changes.
ALTER TABLE pipelines ADD COLUMN given_name TEXT;
ALTER TABLE pipelines ADD COLUMN archived_at BIGINT;
ALTER TABLE pipelines ADD COLUMN edition BIGINT NOT NULL DEFAULT 1;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
