-- Where a notification target is reached. Whoever knows the address of a webhook can write to it, so it is sealed; its host alone stands beside it to be shown.

ALTER TABLE notification_targets ADD COLUMN url_host TEXT;
ALTER TABLE notification_targets ADD COLUMN sealed_url TEXT;

INSERT INTO meta (key, value) VALUES ('works_from', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
