CREATE TABLE registry (
    one                INTEGER PRIMARY KEY CHECK (one = 1),
    id                 BLOB NOT NULL CHECK (length(id) = 16),
    created_at         INTEGER NOT NULL,
    roster             TEXT NOT NULL,
    roster_sha256      BLOB NOT NULL CHECK (length(roster_sha256) = 32),
    propagation_s      INTEGER NOT NULL,
    tail_s             INTEGER NOT NULL,
    destruction_wait_s INTEGER NOT NULL
) STRICT;

-- One line for each time this file was restored from a backup.
CREATE TABLE restoration (
    id     BLOB PRIMARY KEY CHECK (length(id) = 16),
    former BLOB NOT NULL CHECK (length(former) = 16),
    at     INTEGER NOT NULL
) STRICT;

-- Rows are never deleted: a token that looks empty has not lost its keys.
CREATE TABLE key (
    spki              BLOB PRIMARY KEY CHECK (length(spki) = 32),
    spki_der          BLOB NOT NULL,
    class             TEXT NOT NULL,
    algorithm         TEXT NOT NULL,
    token_serial      TEXT NOT NULL,
    label             TEXT NOT NULL,
    certificate       BLOB,
    state             TEXT NOT NULL,
    version           INTEGER NOT NULL CHECK (version >= 1),
    registered_at     INTEGER NOT NULL,
    published_at      INTEGER,
    retiring_at       INTEGER,
    pending_since     INTEGER,
    suspended_from    TEXT,
    scheduled_from    TEXT,
    lifetime          INTEGER NOT NULL,
    reserved          INTEGER NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND lifetime),
    key_permits       INTEGER NOT NULL,
    key_per_s         INTEGER NOT NULL,
    key_burst         INTEGER NOT NULL,
    client_permits    INTEGER NOT NULL,
    client_per_s      INTEGER NOT NULL,
    client_burst      INTEGER NOT NULL
) STRICT;

CREATE TABLE change (
    spki       BLOB NOT NULL REFERENCES key (spki),
    version    INTEGER NOT NULL, -- the key's version afterwards
    registry   BLOB NOT NULL,    -- the life of the registry in which it was made
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    act        TEXT NOT NULL,
    at         INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (spki, version)
) STRICT;

CREATE TABLE approval (
    spki      BLOB NOT NULL,
    version   INTEGER NOT NULL,
    officer   TEXT NOT NULL,
    approval  BLOB NOT NULL, -- statement, public key and signature as they were handed in
    PRIMARY KEY (spki, version, officer),
    FOREIGN KEY (spki, version) REFERENCES change (spki, version)
) STRICT;

-- The moment, in nanoseconds since 1970, up to which a client has used up its permits for a key;
-- the client '' stands for all clients together.
CREATE TABLE bucket (
    spki     BLOB NOT NULL REFERENCES key (spki),
    client   TEXT NOT NULL,
    spent_ns INTEGER NOT NULL,
    PRIMARY KEY (spki, client)
) STRICT;

CREATE TABLE alarm (
    spki     BLOB NOT NULL REFERENCES key (spki),
    state    TEXT NOT NULL,
    payload  TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (spki, state, payload)
) STRICT;
