-- Secrets of authenticator apps are sealed, as those of sources are. `secret` is empty from here on and goes with a later release.
-- Until here they lay open, in builds that were never released: those are taken away with their recovery codes, and their users set up
-- their second factor anew.

ALTER TABLE totp ADD COLUMN sealed TEXT;
DELETE FROM recovery_codes;
DELETE FROM totp;

-- What was deleted or has ended, for whoever takes it away for good.
CREATE INDEX sources_by_end ON sources (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_by_end ON users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX api_tokens_by_revocation ON api_tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_tokens_by_end ON api_tokens (expires_at);

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
