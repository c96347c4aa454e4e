-- The ground: who sends, what it is about, what was received, and which topics changed.
-- Instants are microseconds since the Unix epoch. A column that may be told by a delivery is null until it is told; `version` is
-- the latest telling of the row, and `stamps` names the fields that were told at another version.

CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    host TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (host, key)
);

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    source_id BIGINT NOT NULL REFERENCES sources (id),
    external_id TEXT NOT NULL,
    name TEXT,
    name_folded TEXT NOT NULL,
    url TEXT,
    default_branch TEXT,
    version TEXT,
    stamps TEXT NOT NULL,
    UNIQUE (source_id, external_id)
);

CREATE TABLE pipelines (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id),
    external_id TEXT NOT NULL,
    name TEXT,
    name_folded TEXT NOT NULL,
    url TEXT,
    last_execution_id BIGINT,
    status TEXT NOT NULL,
    previous_status TEXT,
    seq BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version TEXT,
    stamps TEXT NOT NULL,
    UNIQUE (project_id, external_id)
);

CREATE INDEX pipelines_by_change ON pipelines (updated_at, id);

CREATE TABLE executions (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id),
    pipeline_id BIGINT NOT NULL REFERENCES pipelines (id),
    external_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    pipeline_key TEXT,
    status TEXT NOT NULL,
    raw_status TEXT,
    raw_conclusion TEXT,
    finished_at BIGINT,
    number BIGINT,
    title TEXT,
    branch TEXT,
    commit_sha TEXT,
    event TEXT,
    actor TEXT,
    url TEXT,
    queued_at BIGINT,
    started_at BIGINT,
    stale BOOLEAN NOT NULL,
    previous_status TEXT,
    seq BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    heard_at BIGINT NOT NULL,
    version TEXT,
    stamps TEXT NOT NULL,
    UNIQUE (project_id, external_id, attempt)
);

CREATE INDEX executions_newest ON executions (pipeline_id, (coalesce(number, 0)), ordinal, attempt, id);

-- What may go stale: open and not stale yet. The query repeats this condition word for word.
CREATE INDEX executions_open ON executions (heard_at)
    WHERE stale = FALSE AND status IN ('unknown', 'queued', 'waiting', 'blocked', 'running', 'finalizing');

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    execution_id BIGINT NOT NULL REFERENCES executions (id),
    external_id TEXT NOT NULL,
    name TEXT,
    stage TEXT,
    status TEXT NOT NULL,
    raw_status TEXT,
    raw_conclusion TEXT,
    finished_at BIGINT,
    allow_failure BOOLEAN,
    runner TEXT,
    url TEXT,
    steps TEXT,
    queued_at BIGINT,
    started_at BIGINT,
    version TEXT,
    stamps TEXT NOT NULL,
    UNIQUE (execution_id, external_id)
);

CREATE TABLE refs (
    project_id BIGINT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    commit_sha TEXT,
    version TEXT,
    stamps TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
);

CREATE TABLE changes (
    project_id BIGINT NOT NULL REFERENCES projects (id),
    number BIGINT NOT NULL,
    title TEXT,
    state TEXT,
    branch TEXT,
    commit_sha TEXT,
    url TEXT,
    version TEXT,
    stamps TEXT NOT NULL,
    PRIMARY KEY (project_id, number)
);

-- The ledger, which is also the inbox: what stands here has had its effect.
CREATE TABLE deliveries (
    id BLOB PRIMARY KEY NOT NULL,
    host TEXT NOT NULL,
    source TEXT NOT NULL,
    event TEXT,
    delivery_key TEXT,
    body_sha256 TEXT,
    received_at BIGINT NOT NULL,
    headers TEXT NOT NULL,
    replay_of BLOB,
    duplicate_of BLOB,
    outcome TEXT NOT NULL,
    detail TEXT,
    repeats BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL
);

-- A wanted repetition keeps the key of the first one, so only the others are unique.
CREATE UNIQUE INDEX deliveries_by_key ON deliveries (host, source, delivery_key) WHERE replay_of IS NULL;
CREATE INDEX deliveries_by_body ON deliveries (body_sha256, received_at);
CREATE INDEX deliveries_by_age ON deliveries (received_at, id);

-- Beside the ledger, because bodies go first.
CREATE TABLE delivery_bodies (
    delivery_id BLOB PRIMARY KEY NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    received_at BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX delivery_bodies_by_age ON delivery_bodies (received_at, delivery_id, bytes);

-- Which delivery gave a topic which sequence; null where time alone did.
CREATE TABLE topic_changes (
    topic TEXT NOT NULL,
    seq BIGINT NOT NULL,
    delivery_id BLOB,
    at BIGINT NOT NULL,
    PRIMARY KEY (topic, seq)
);

CREATE INDEX topic_changes_by_delivery ON topic_changes (delivery_id);
CREATE INDEX topic_changes_by_age ON topic_changes (at);

-- Changed and not announced yet.
CREATE TABLE dirty_topics (
    topic TEXT PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL,
    marked_at BIGINT NOT NULL
);

CREATE INDEX dirty_topics_by_age ON dirty_topics (marked_at, topic);
