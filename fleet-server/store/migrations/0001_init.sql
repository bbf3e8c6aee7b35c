-- Times are Unix seconds of the server unless a column says otherwise. Hashes are SHA-256. 64-bit unsigned
-- numbers of devices (incarnation, sequence, unit) are stored as the signed integer of the same bits.

CREATE TABLE device (
    id                BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    public_key        BLOB    NOT NULL CHECK (length(public_key) = 32),
    hardware          TEXT    NOT NULL,
    enrolled_at       INTEGER NOT NULL,
    decommissioned_at INTEGER,
    frozen            INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;

-- What the planner lets a device run. Written by the executor alone, read at each check-in.
CREATE TABLE desired (
    device  BLOB    NOT NULL PRIMARY KEY REFERENCES device (id),
    digest  BLOB    NOT NULL CHECK (length(digest) = 32),
    rollout INTEGER,
    arm     TEXT,
    mode    TEXT    NOT NULL,
    since   INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- What a device last said, and the counters that guard it. Written by check-ins alone.
CREATE TABLE device_state (
    device           BLOB    NOT NULL PRIMARY KEY REFERENCES device (id),
    last_seen        INTEGER NOT NULL,
    last_signed      INTEGER NOT NULL,
    incarnation      INTEGER NOT NULL,
    phase            TEXT    NOT NULL,
    active           BLOB,
    active_since     INTEGER NOT NULL,
    report           BLOB    NOT NULL,
    runtime          BLOB    NOT NULL,
    director_version INTEGER NOT NULL,
    minted_at        INTEGER NOT NULL,
    minted_for       BLOB    NOT NULL
) WITHOUT ROWID, STRICT;

-- Runtime descriptions by their hash: a fleet has few, a device sends its own each time.
CREATE TABLE runtime_info (
    hash BLOB NOT NULL PRIMARY KEY,
    info BLOB NOT NULL
) WITHOUT ROWID, STRICT;

-- High-water marks: every record of the incarnation below `next` is stored.
CREATE TABLE outbox (
    device      BLOB    NOT NULL,
    incarnation INTEGER NOT NULL,
    next        INTEGER NOT NULL,
    PRIMARY KEY (device, incarnation)
) WITHOUT ROWID, STRICT;

CREATE TABLE telemetry (
    device      BLOB    NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    received    INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (device, incarnation, sequence)
) WITHOUT ROWID, STRICT;
CREATE INDEX telemetry_received ON telemetry (received);

-- Sums over serving windows, each record counted once.
CREATE TABLE serving (
    device   BLOB    NOT NULL,
    image    BLOB    NOT NULL,
    answers  INTEGER NOT NULL,
    errors   INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    flagged  INTEGER NOT NULL,
    cascaded INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    PRIMARY KEY (device, image)
) WITHOUT ROWID, STRICT;

CREATE TABLE device_event (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    device   BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    received INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    image    BLOB,
    rollout  INTEGER,
    detail   TEXT    NOT NULL
) STRICT;
CREATE INDEX device_event_device ON device_event (device, id);

CREATE TABLE enrolment_token (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    label      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    public_key BLOB,
    used_at    INTEGER
) WITHOUT ROWID, STRICT;

CREATE TABLE version (
    digest       BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    name         TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    length       INTEGER NOT NULL,
    parent       BLOB,
    metadata     TEXT    NOT NULL,
    published_at INTEGER NOT NULL,
    published_by TEXT    NOT NULL,
    UNIQUE (name, version)
) STRICT;

CREATE TABLE alias (
    name  TEXT    NOT NULL,
    alias TEXT    NOT NULL,
    digest BLOB   NOT NULL REFERENCES version (digest),
    since INTEGER NOT NULL,
    PRIMARY KEY (name, alias)
) WITHOUT ROWID, STRICT;

-- TUF metadata files as they were signed, byte for byte.
CREATE TABLE tuf_file (
    repository TEXT NOT NULL,
    name       TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID, STRICT;

CREATE TABLE rollout (
    id         INTEGER NOT NULL PRIMARY KEY,
    status     TEXT    NOT NULL,
    target     BLOB    NOT NULL,
    base       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    state      TEXT    NOT NULL
) STRICT;
CREATE INDEX rollout_status ON rollout (status);

-- Who is in a rollout. A row is written once and only gains: times are filled in, never changed.
CREATE TABLE assignment (
    rollout     INTEGER NOT NULL REFERENCES rollout (id),
    device      BLOB    NOT NULL REFERENCES device (id),
    hardware    TEXT    NOT NULL,
    stage       INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    target_at   INTEGER,
    silent_at   INTEGER,
    reverted_at INTEGER,
    PRIMARY KEY (rollout, device)
) WITHOUT ROWID, STRICT;
CREATE INDEX assignment_device ON assignment (device);

-- The first outcome of a distinct input in each hardware class, and the counts over them; the fleet's counts
-- have an empty class and hold each input once.
CREATE TABLE paired_outcome (
    rollout  INTEGER NOT NULL,
    unit     INTEGER NOT NULL,
    hardware TEXT    NOT NULL,
    device   BLOB    NOT NULL,
    agree    INTEGER NOT NULL,
    PRIMARY KEY (rollout, unit, hardware)
) WITHOUT ROWID, STRICT;
CREATE TABLE paired_count (
    rollout       INTEGER NOT NULL,
    hardware      TEXT    NOT NULL,
    inputs        INTEGER NOT NULL,
    disagreements INTEGER NOT NULL,
    PRIMARY KEY (rollout, hardware)
) WITHOUT ROWID, STRICT;

-- A device's first failure of each kind in a rollout: later ones are not counted. `id` is the order of commit.
CREATE TABLE health (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    rollout INTEGER NOT NULL,
    device  BLOB    NOT NULL,
    kind    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    UNIQUE (rollout, device, kind)
) STRICT;

-- Append-only, hash-chained as a whole and for each rollout.
CREATE TABLE ledger (
    seq          INTEGER NOT NULL PRIMARY KEY,
    rollout      INTEGER,
    at           INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    previous     BLOB    NOT NULL,
    rollout_prev BLOB    NOT NULL,
    hash         BLOB    NOT NULL
) STRICT;
CREATE INDEX ledger_rollout ON ledger (rollout, seq);
CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_never_cut BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE audit (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    operator TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL
) STRICT;

CREATE TABLE idempotency (
    operator    TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    status      INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (operator, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX idempotency_at ON idempotency (at);

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
