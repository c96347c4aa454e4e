-- Tokens that carry a session on come in generations: the first use of one begins the next, and for a moment after that whatever is shown by
-- its owner's other tabs yields tokens of the same. Of the tokens of a generation one is carried on after that moment; a second one shows
-- that two have the session. Null: the token is a generation by itself, which began when it was issued.

ALTER TABLE refresh_tokens ADD COLUMN begun_at BIGINT;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
