-- When whoever has a session proved last who they are: at the login, and each time that they are asked again. What touches keys, roles and secrets wants
-- that to be a few minutes ago. Null: at the login.

ALTER TABLE sessions ADD COLUMN proved_at BIGINT;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
