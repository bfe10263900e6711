/** The schema, one numbered step after the other; a step that was ever released is never changed. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE leaves (
    idx        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    client     TEXT NOT NULL,
    number     INTEGER NOT NULL,
    opening    TEXT NOT NULL,
    UNIQUE (client, number)
  ) STRICT;

  CREATE TABLE clients (
    id           TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,
    status       TEXT NOT NULL,
    token_label  TEXT NOT NULL,
    token_serial TEXT NOT NULL,
    salt_key     BLOB NOT NULL,
    policy_hash  TEXT,
    UNIQUE (token_label, token_serial)
  ) STRICT;

  CREATE TABLE keys (
    client     TEXT NOT NULL REFERENCES clients (id),
    name       TEXT NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    curve      TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    public_key BLOB NOT NULL UNIQUE,
    chains     TEXT NOT NULL,
    state      TEXT NOT NULL,
    leaf       INTEGER NOT NULL,
    PRIMARY KEY (client, name)
  ) STRICT;

  CREATE TABLE accounts (
    account TEXT PRIMARY KEY,
    client  TEXT NOT NULL,
    key     TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE policies (
    client        TEXT NOT NULL,
    version       INTEGER NOT NULL,
    hash          TEXT NOT NULL,
    previous_hash TEXT,
    entry         TEXT NOT NULL,
    files         TEXT NOT NULL,
    signatures    TEXT NOT NULL,
    applied_at    INTEGER NOT NULL,
    leaf          INTEGER NOT NULL,
    PRIMARY KEY (client, version)
  ) STRICT;

  CREATE TABLE caller_keys (
    key    TEXT PRIMARY KEY,
    client TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE held_addresses (
    client  TEXT NOT NULL,
    account TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (client, account)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE requests (
    id              TEXT NOT NULL,
    client          TEXT NOT NULL,
    caller          TEXT NOT NULL,
    key             TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash       TEXT NOT NULL,
    state           TEXT NOT NULL,
    submitted_at    INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    record          TEXT NOT NULL,
    decision_leaf   INTEGER NOT NULL,
    outcome         TEXT,
    PRIMARY KEY (client, id),
    UNIQUE (client, caller, idempotency_key)
  ) STRICT;

  CREATE TABLE claims (
    claim   TEXT PRIMARY KEY,
    request TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- A nonce has 64 bits (EIP-2681), an INTEGER has 63.
  CREATE TABLE nonces (
    account TEXT PRIMARY KEY,
    next    TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Each entry carries the sum of its counter up to and with itself: a window is the difference of two rows, however
  -- many stand between them. Sums are decimal texts, since 256 bits fit no SQLite number.
  CREATE TABLE spend (
    counter TEXT NOT NULL,
    at      INTEGER NOT NULL,
    leaf    INTEGER NOT NULL,
    amount  TEXT NOT NULL,
    total   TEXT NOT NULL,
    PRIMARY KEY (counter, at, leaf)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- The Merkle tree over the leaves, in tiles (C2SP tlog-tiles): up to 256 hashes side by side.
  CREATE TABLE tiles (
    level  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, idx)
  ) STRICT;

  CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL CHECK (length(root) = 32),
    at   INTEGER NOT NULL,
    note TEXT NOT NULL
  ) STRICT;

  -- Which process does what only one at a time may do, and until when.
  CREATE TABLE turns (
    task   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE pins (
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    state   TEXT NOT NULL,
    sealed  BLOB NOT NULL,
    PRIMARY KEY (name, version)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- When an officer has confirmed the store's clock.
  CREATE TABLE confirmed_times (
    at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE clients ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE clients ADD COLUMN freezes TEXT NOT NULL DEFAULT '[]';
  `,
  `
  -- Officers' decisions to go on with a store that may lack something that was promised.
  CREATE TABLE recoveries (
    leaf          INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    promised_size INTEGER NOT NULL,
    lost          TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- A signed change of policy that waits: its row as JSON, with the document.
  CREATE TABLE scheduled_policies (
    client    TEXT PRIMARY KEY REFERENCES clients (id),
    active_at INTEGER NOT NULL,
    change    TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Seals: a MAC over each row under a key that the store does not know, and the leaf that wrote it last.
  ALTER TABLE leaves ADD COLUMN seal TEXT NOT NULL DEFAULT '';
  ALTER TABLE requests ADD COLUMN leaf INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE requests ADD COLUMN seal TEXT NOT NULL DEFAULT '';
  ALTER TABLE requests ADD COLUMN outcome_seal TEXT;
  ALTER TABLE nonces ADD COLUMN leaf INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE nonces ADD COLUMN seal TEXT NOT NULL DEFAULT '';
  ALTER TABLE spend ADD COLUMN seal TEXT NOT NULL DEFAULT '';
  -- That an officer has confirmed the clock is read from the log.
  DROP TABLE confirmed_times;
  `,
  `
  -- What the leaves before that one say, sealed: read at start instead of them.
  CREATE TABLE snapshots (
    size  INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    part  INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (size, part)
  ) STRICT;
  `,
  `
  -- What came of acts that are not done twice.
  CREATE TABLE answers (
    client          TEXT NOT NULL,
    caller          TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    status          INTEGER NOT NULL,
    body            TEXT NOT NULL,
    seal            TEXT NOT NULL,
    PRIMARY KEY (client, caller, idempotency_key)
  ) STRICT, WITHOUT ROWID;

  -- Callers find a request again by their own words for it.
  ALTER TABLE requests ADD COLUMN reference TEXT;
  UPDATE requests SET reference = json_extract(record, '$.reference');
  CREATE INDEX requests_by_reference ON requests (client, reference, id) WHERE reference IS NOT NULL;
  `,
  `
  -- An outcome is written beside its request, not into it: a row that grows takes its whole page along, and others.
  CREATE TABLE outcomes (
    decision_leaf INTEGER PRIMARY KEY,
    state         TEXT NOT NULL,
    changed_at    INTEGER NOT NULL,
    outcome       TEXT NOT NULL,
    seal          TEXT
  ) STRICT;
  INSERT INTO outcomes (decision_leaf, state, changed_at, outcome, seal)
    SELECT decision_leaf, state, changed_at, outcome, outcome_seal FROM requests WHERE outcome IS NOT NULL;
  UPDATE requests SET state = 'authorized' WHERE outcome IS NOT NULL;
  ALTER TABLE requests DROP COLUMN outcome;
  ALTER TABLE requests DROP COLUMN outcome_seal;
  `,
];
