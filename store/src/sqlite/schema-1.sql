-- Version 1. Portable: no triggers, no sequences, bucket first in every primary key of a hot table.

CREATE TABLE book (
  one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  currency     TEXT    NOT NULL,
  day_offset_s INTEGER NOT NULL
) STRICT;

-- Counters only grow; a balance is computed, never stored. floor NULL: no limit.
CREATE TABLE account (
  bucket    INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  code      INTEGER NOT NULL,
  owner     INTEGER NOT NULL CHECK (owner >= 0),
  posted_dr INTEGER NOT NULL CHECK (posted_dr >= 0),
  posted_cr INTEGER NOT NULL CHECK (posted_cr >= 0),
  pend_dr   INTEGER NOT NULL CHECK (pend_dr >= 0),
  pend_cr   INTEGER NOT NULL CHECK (pend_cr >= 0),
  floor     INTEGER,
  version   INTEGER NOT NULL,
  PRIMARY KEY (bucket, code, owner)
) STRICT, WITHOUT ROWID;

-- forced 1: an account stood below its floor after this group, as only an offline ride may cause.
CREATE TABLE ledger_group (
  bucket     INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  kind       INTEGER NOT NULL,
  source_key TEXT    NOT NULL,
  id         BLOB    NOT NULL CHECK (length(id) = 16),
  hash       BLOB    NOT NULL CHECK (length(hash) = 32),
  transfers  INTEGER NOT NULL CHECK (transfers > 0),
  forced     INTEGER NOT NULL CHECK (forced IN (0, 1)),
  PRIMARY KEY (bucket, kind, source_key),
  UNIQUE (bucket, id)
) STRICT, WITHOUT ROWID;

-- Both accounts lie in the transfer's bucket. Rows are inserted, never changed.
CREATE TABLE transfer (
  bucket       INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  business_day INTEGER NOT NULL,
  group_id     BLOB    NOT NULL CHECK (length(group_id) = 16),
  leg          INTEGER NOT NULL CHECK (leg >= 0),
  dr_code      INTEGER NOT NULL,
  dr_owner     INTEGER NOT NULL,
  cr_code      INTEGER NOT NULL,
  cr_owner     INTEGER NOT NULL,
  amount       INTEGER NOT NULL CHECK (amount > 0),
  why          INTEGER NOT NULL,
  event_at     INTEGER NOT NULL,
  posted_seq   INTEGER NOT NULL,
  PRIMARY KEY (bucket, business_day, group_id, leg),
  UNIQUE (bucket, posted_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX transfer_by_debit ON transfer (bucket, dr_code, dr_owner, event_at);
CREATE INDEX transfer_by_credit ON transfer (bucket, cr_code, cr_owner, event_at);

CREATE TABLE passenger (
  bucket     INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  number     INTEGER NOT NULL CHECK (number > 0),
  subject    BLOB    NOT NULL CHECK (length(subject) = 16),
  status     INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, number),
  UNIQUE (bucket, subject)
) STRICT, WITHOUT ROWID;

-- Bucket of the key's thumbprint, so that a request finds its key before its account is known.
CREATE TABLE device (
  bucket      INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  thumbprint  BLOB    NOT NULL CHECK (length(thumbprint) = 32),
  public_key  BLOB    NOT NULL CHECK (length(public_key) = 65),
  number      INTEGER NOT NULL,
  enrolled_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, thumbprint)
) STRICT, WITHOUT ROWID;

-- Proofs of possession that were used, for as long as they could be accepted again.
CREATE TABLE dpop_jti (
  bucket     INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  thumbprint BLOB    NOT NULL CHECK (length(thumbprint) = 32),
  jti        TEXT    NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, thumbprint, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX dpop_jti_by_expiry ON dpop_jti (expires_at);

-- Whose ride it is: filled when a credential passes through the platform. Bucket of the cti.
CREATE TABLE credential (
  bucket     INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  cti        BLOB    NOT NULL CHECK (length(cti) = 8),
  kid        BLOB    NOT NULL CHECK (length(kid) = 4),
  number     INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, cti, kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE recharge_order (
  bucket       INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  number       TEXT    NOT NULL,
  wallet       INTEGER NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  channel      INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  state        INTEGER NOT NULL,
  PRIMARY KEY (bucket, number)
) STRICT, WITHOUT ROWID;

-- Bucket of (channel, transaction), so that one payment cannot be booked in two places.
CREATE TABLE channel_receipt (
  bucket         INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  channel        INTEGER NOT NULL,
  transaction_id TEXT    NOT NULL,
  order_number   TEXT    NOT NULL,
  amount_minor   INTEGER NOT NULL CHECK (amount_minor > 0),
  paid_at        INTEGER NOT NULL,
  received_at    INTEGER NOT NULL,
  settlement     INTEGER NOT NULL,
  PRIMARY KEY (bucket, channel, transaction_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE terminal (
  name     TEXT NOT NULL PRIMARY KEY,
  spki     BLOB NOT NULL UNIQUE CHECK (length(spki) = 32),
  operator TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every record of every journal, once. Bucket of the terminal. head is the journal's hash chain
-- behind the record, so it names the record and all before it; the rows of a journal form one
-- chain. reason NULL: accepted; otherwise refused, and examined again while it may pass.
CREATE TABLE inbox (
  bucket      INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  terminal    TEXT    NOT NULL,
  epoch       BLOB    NOT NULL CHECK (length(epoch) = 8),
  seq         INTEGER NOT NULL CHECK (seq > 0),
  head        BLOB    NOT NULL CHECK (length(head) = 32),
  record      BLOB    NOT NULL,
  received_at INTEGER NOT NULL,
  reason      TEXT,
  PRIMARY KEY (bucket, terminal, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Records that claim a place in the inbox which is taken, or that do not fit its chain.
CREATE TABLE quarantine (
  bucket      INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  terminal    TEXT    NOT NULL,
  epoch       BLOB    NOT NULL CHECK (length(epoch) = 8),
  seq         INTEGER NOT NULL,
  head        BLOB    NOT NULL CHECK (length(head) = 32),
  record      BLOB    NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, terminal, epoch, seq, head)
) STRICT, WITHOUT ROWID;

-- The last record up to which nothing is missing: what the terminal may delete.
CREATE TABLE watermark (
  bucket   INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  terminal TEXT    NOT NULL,
  epoch    BLOB    NOT NULL CHECK (length(epoch) = 8),
  seq      INTEGER NOT NULL CHECK (seq > 0),
  head     BLOB    NOT NULL CHECK (length(head) = 32),
  PRIMARY KEY (bucket, terminal, epoch)
) STRICT, WITHOUT ROWID;

-- Each verified ride, by the code it used. Bucket of the cti: all uses of a credential meet here.
-- charged 1: this ride is the first of its code, and its group stands.
CREATE TABLE code_use (
  bucket       INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  cti          BLOB    NOT NULL CHECK (length(cti) = 8),
  kid          BLOB    NOT NULL CHECK (length(kid) = 4),
  iat          INTEGER NOT NULL,
  nonce        BLOB    NOT NULL CHECK (length(nonce) = 4),
  terminal     TEXT    NOT NULL,
  epoch        BLOB    NOT NULL CHECK (length(epoch) = 8),
  seq          INTEGER NOT NULL,
  counter      INTEGER NOT NULL,
  accepted_at  INTEGER NOT NULL,
  payer_bucket INTEGER NOT NULL,
  payer_code   INTEGER NOT NULL,
  payer_owner  INTEGER NOT NULL,
  operator     TEXT    NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
  fare_rule    INTEGER NOT NULL,
  fare_pack    BLOB    NOT NULL CHECK (length(fare_pack) = 8),
  charged      INTEGER NOT NULL CHECK (charged IN (0, 1)),
  PRIMARY KEY (bucket, cti, kid, iat, nonce, terminal, epoch, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX code_use_by_counter ON code_use (bucket, cti, kid, counter, accepted_at);

-- One case per contested code or counter; its rides are the rows of code_use with the same value.
CREATE TABLE fraud_case (
  bucket    INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  cti       BLOB    NOT NULL CHECK (length(cti) = 8),
  kid       BLOB    NOT NULL CHECK (length(kid) = 4),
  kind      INTEGER NOT NULL,
  contested TEXT    NOT NULL,
  opened_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, cti, kid, kind, contested)
) STRICT, WITHOUT ROWID;

-- What the rest of the world should hear of, written with the change itself.
CREATE TABLE outbox (
  bucket    INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  seq       INTEGER NOT NULL CHECK (seq > 0),
  topic     TEXT    NOT NULL,
  reference TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (bucket, seq)
) STRICT, WITHOUT ROWID;
