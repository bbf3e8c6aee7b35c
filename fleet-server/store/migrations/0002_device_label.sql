-- What the operator called the device when the enrolment string was made; empty where nothing was said.
ALTER TABLE device ADD COLUMN label TEXT NOT NULL DEFAULT '';
UPDATE device SET label = COALESCE((
    SELECT t.label FROM enrolment_token t
    WHERE t.public_key = device.public_key AND t.label <> '' ORDER BY t.used_at DESC LIMIT 1), '');
