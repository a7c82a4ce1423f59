-- Version 2.

-- Records that were refused and may yet be charged, or that somebody has to look at.
CREATE INDEX inbox_by_reason ON inbox (bucket, terminal, epoch, seq) WHERE reason IS NOT NULL;

-- The live credentials of an account, and from them its fraud cases.
CREATE INDEX credential_by_account ON credential (number, expires_at);

-- closed_at NULL: open. An account with an open case of a reused counter gets no credential.
ALTER TABLE fraud_case ADD COLUMN closed_at INTEGER;

-- settlement 4, unmatched: a genuine notice that pays no order of ours, and why. It has no group.
-- currency NULL: the book's.
ALTER TABLE channel_receipt ADD COLUMN currency TEXT;
ALTER TABLE channel_receipt ADD COLUMN reason TEXT;
CREATE INDEX receipt_by_settlement ON channel_receipt (settlement, received_at);

-- Every issuer key that the pinned root ever vouched for, by its certificate (DER), so that late
-- rides of a key that has left the bundle still verify.
CREATE TABLE issuer_certificate (
  certificate BLOB    NOT NULL PRIMARY KEY,
  accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
