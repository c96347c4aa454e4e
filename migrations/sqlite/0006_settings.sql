-- What is configured while the service runs. `version` counts the changes of a row.

-- Over the configuration of every process, by the key that it has there; null: as it is configured there.
CREATE TABLE settings (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by BIGINT
);

-- How long what is kept of a project, where that is not as long as everywhere. Ages in microseconds; null: as everywhere.
CREATE TABLE retention_policies (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id),
    bodies BIGINT,
    deliveries BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Whom to tell of what; nothing is sent yet.
CREATE TABLE notification_targets (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    project_id BIGINT REFERENCES projects (id),
    statuses TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX notification_targets_by_project ON notification_targets (project_id, id);

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
