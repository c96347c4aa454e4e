-- What lists search, in lower case whatever its script: SQLite's lower() knows ASCII alone, and so does that of PostgreSQL under the locale C.
-- Null until it is written; the admin fills what was there before.

ALTER TABLE users ADD COLUMN display_name_folded TEXT;
ALTER TABLE users ADD COLUMN email_folded TEXT;
ALTER TABLE api_tokens ADD COLUMN name_folded TEXT;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
