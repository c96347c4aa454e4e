-- Who sees a pipeline of those who see its project: all of them (project), or only those who may read pipelines in the project or everywhere
-- (private). Only the latter are looked for: every node reads those of internal projects every few seconds, and they are few.
-- A node that runs a build from before shows private pipelines like any others: make none private until all are updated.

ALTER TABLE pipelines ADD COLUMN visibility TEXT NOT NULL DEFAULT 'project' CHECK (visibility IN ('project', 'private'));

CREATE INDEX pipelines_private ON pipelines (project_id, id) WHERE visibility <> 'project';

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
