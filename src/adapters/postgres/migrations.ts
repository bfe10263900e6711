/**
 * The schema, one numbered step after the other; a step that was ever released is never changed. Everything stands in a
 * schema of its own, so that nothing else in the database is met by its names. Texts are ordered by their bytes:
 * cursors and ranges must not depend on a locale.
 */
export const MIGRATIONS: readonly string[] = [
  `
  -- One row. Its lock is the log's: whoever holds it writes, until COMMIT (I9).
  CREATE TABLE head (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema            integer NOT NULL,
    -- Grows with every COMMIT: what a vault has in mind is worth something only where it wrote the last one itself.
    version           bigint NOT NULL,
    -- The database cluster that the log lives in, and its history: another one may lack what was promised.
    system_identifier text NOT NULL,
    timeline          bigint NOT NULL
  );

  -- Which COMMITs were whose: the answer to one whose outcome was never heard.
  CREATE TABLE commits (
    version bigint PRIMARY KEY,
    writer  uuid NOT NULL
  );

  CREATE TABLE leaves (
    idx        bigint PRIMARY KEY,
    at         bigint NOT NULL,
    hash       bytea NOT NULL CHECK (length(hash) = 32),
    commitment bytea NOT NULL CHECK (length(commitment) = 32),
    client     text COLLATE "C" NOT NULL,
    number     bigint NOT NULL,
    opening    text NOT NULL,
    UNIQUE (client, number)
  );

  CREATE TABLE clients (
    id           text COLLATE "C" PRIMARY KEY,
    owner        text NOT NULL,
    status       text NOT NULL,
    token_label  text NOT NULL,
    token_serial text NOT NULL,
    salt_key     bytea NOT NULL,
    policy_hash  text,
    UNIQUE (token_label, token_serial)
  );

  CREATE TABLE keys (
    client     text COLLATE "C" NOT NULL REFERENCES clients (id),
    name       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL UNIQUE,
    curve      text NOT NULL,
    purpose    text NOT NULL,
    public_key bytea NOT NULL UNIQUE,
    chains     text NOT NULL,
    state      text NOT NULL,
    leaf       bigint NOT NULL,
    PRIMARY KEY (client, name)
  );

  CREATE TABLE accounts (
    account text COLLATE "C" PRIMARY KEY,
    client  text COLLATE "C" NOT NULL,
    key     text COLLATE "C" NOT NULL
  );
  CREATE INDEX accounts_of_key ON accounts (client, key);

  CREATE TABLE policies (
    client        text COLLATE "C" NOT NULL,
    version       integer NOT NULL,
    hash          text NOT NULL,
    previous_hash text,
    entry         text NOT NULL,
    files         text NOT NULL,
    signatures    text NOT NULL,
    applied_at    bigint NOT NULL,
    leaf          bigint NOT NULL,
    PRIMARY KEY (client, version)
  );

  CREATE TABLE caller_keys (
    key    text COLLATE "C" PRIMARY KEY,
    client text COLLATE "C" NOT NULL
  );

  CREATE TABLE held_addresses (
    client  text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    since   bigint NOT NULL,
    PRIMARY KEY (client, account)
  );

  CREATE TABLE requests (
    id              text COLLATE "C" NOT NULL,
    client          text COLLATE "C" NOT NULL,
    caller          text COLLATE "C" NOT NULL,
    key             text NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    body_hash       text NOT NULL,
    state           text NOT NULL,
    submitted_at    bigint NOT NULL,
    changed_at      bigint NOT NULL,
    record          text NOT NULL,
    decision_leaf   bigint NOT NULL,
    outcome         text,
    PRIMARY KEY (client, id),
    UNIQUE (client, caller, idempotency_key)
  );

  CREATE TABLE claims (
    claim   text COLLATE "C" PRIMARY KEY,
    request text NOT NULL
  );

  CREATE TABLE nonces (
    account text COLLATE "C" PRIMARY KEY,
    next    numeric NOT NULL
  );

  -- Each entry carries the sum of its counter up to and with itself: a window is the difference of two rows, however
  -- many stand between them.
  CREATE TABLE spend (
    counter text COLLATE "C" NOT NULL,
    at      bigint NOT NULL,
    leaf    bigint NOT NULL,
    amount  numeric NOT NULL,
    total   numeric NOT NULL,
    PRIMARY KEY (counter, at, leaf)
  );

  -- The Merkle tree over the leaves, in tiles (C2SP tlog-tiles): up to 256 hashes side by side.
  CREATE TABLE tiles (
    level  integer NOT NULL,
    idx    bigint NOT NULL,
    hashes bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, idx)
  );

  CREATE TABLE checkpoints (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (length(root) = 32),
    at   bigint NOT NULL,
    note text NOT NULL
  );

  -- Which process does what only one at a time may do, and until when.
  CREATE TABLE turns (
    task   text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    until  bigint NOT NULL
  );
  `,
  `
  CREATE TABLE pins (
    name    text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    state   text NOT NULL,
    sealed  bytea NOT NULL,
    PRIMARY KEY (name, version)
  );
  `,
  `
  -- When an officer has confirmed the store's clock.
  CREATE TABLE confirmed_times (
    at bigint NOT NULL
  );
  `,
  `
  ALTER TABLE clients ADD COLUMN revision bigint NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE clients ADD COLUMN freezes text NOT NULL DEFAULT '[]';
  `,
  `
  -- Officers' decisions to go on with a store that may lack something that was promised.
  CREATE TABLE recoveries (
    leaf          bigint PRIMARY KEY,
    at            bigint NOT NULL,
    promised_size bigint NOT NULL,
    lost          text NOT NULL
  );
  `,
  `
  -- A signed change of policy that waits: its row as JSON, with the document.
  CREATE TABLE scheduled_policies (
    client    text COLLATE "C" PRIMARY KEY REFERENCES clients (id),
    active_at bigint NOT NULL,
    change    text NOT NULL
  );
  `,
  `
  -- Seals: a MAC over each row under a key that the store does not know, and the leaf that wrote it last.
  ALTER TABLE leaves ADD COLUMN seal text NOT NULL DEFAULT '';
  ALTER TABLE requests ADD COLUMN leaf bigint NOT NULL DEFAULT 0;
  ALTER TABLE requests ADD COLUMN seal text NOT NULL DEFAULT '';
  ALTER TABLE requests ADD COLUMN outcome_seal text;
  ALTER TABLE nonces ADD COLUMN leaf bigint NOT NULL DEFAULT 0;
  ALTER TABLE nonces ADD COLUMN seal text NOT NULL DEFAULT '';
  ALTER TABLE spend ADD COLUMN seal text NOT NULL DEFAULT '';
  -- That an officer has confirmed the clock is read from the log.
  DROP TABLE confirmed_times;
  `,
  `
  -- What the leaves before that one say, sealed: read at start instead of them.
  CREATE TABLE snapshots (
    size  bigint NOT NULL,
    parts integer NOT NULL,
    part  integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (size, part)
  );
  `,
  `
  -- One question, one index: where two began with the client, a plan made while the table was empty took either.
  ALTER TABLE requests DROP CONSTRAINT requests_client_caller_idempotency_key_key;
  CREATE UNIQUE INDEX requests_asked ON requests ((client || E'\\n' || caller || E'\\n' || idempotency_key));
  -- An outcome changes the row that the decision made a moment ago: with room beside it, no index is touched again.
  ALTER TABLE requests SET (fillfactor = 45, toast_tuple_target = 8160);
  -- What compresses to little is not compressed while the log's lock is held.
  ALTER TABLE leaves SET (toast_tuple_target = 8160);
  `,
  `
  -- What came of acts that are not done twice.
  CREATE TABLE answers (
    client          text COLLATE "C" NOT NULL,
    caller          text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    status          bigint NOT NULL,
    body            text NOT NULL,
    seal            text NOT NULL,
    PRIMARY KEY (client, caller, idempotency_key)
  );

  -- Callers find a request again by their own words for it.
  ALTER TABLE requests ADD COLUMN reference text COLLATE "C";
  UPDATE requests SET reference = record::jsonb ->> 'reference' WHERE record LIKE '%"reference":%';
  CREATE INDEX requests_by_reference ON requests (client, reference, id) WHERE reference IS NOT NULL;
  `,
];
