-- What the ledger is searched by, and how often a delivery was tried before it took effect.

ALTER TABLE deliveries ADD COLUMN project_id BIGINT;
ALTER TABLE deliveries ADD COLUMN attempts BIGINT NOT NULL DEFAULT 1;
ALTER TABLE delivery_bodies ADD COLUMN project_id BIGINT;

CREATE INDEX deliveries_by_source ON deliveries (host, source, received_at, id);
CREATE INDEX deliveries_by_event ON deliveries (event, received_at, id);
CREATE INDEX deliveries_by_project ON deliveries (project_id, received_at, id);
-- For retention, where a project has a policy of its own.
CREATE INDEX delivery_bodies_by_project ON delivery_bodies (project_id, received_at, delivery_id);

-- Nearly all are applied; those are found by age. The query repeats this condition word for word.
CREATE INDEX deliveries_by_outcome ON deliveries (outcome, received_at, id) WHERE outcome <> 'applied';
CREATE INDEX deliveries_by_replay ON deliveries (replay_of, received_at, id) WHERE replay_of IS NOT NULL;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
