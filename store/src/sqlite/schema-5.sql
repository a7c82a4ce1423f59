-- Version 5. Credentials that phones have to renew: their issuer key was blocked.

CREATE INDEX credential_by_key ON credential (kid, expires_at);

-- Which issuer says that a key is blocked, and since when the platform knows.
CREATE TABLE issuer_key_block (
  kid    BLOB    NOT NULL CHECK (length(kid) = 4),
  issuer TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (kid, issuer)
) STRICT, WITHOUT ROWID;

-- Marks on wallets. Bucket of the account.
CREATE TABLE credential_to_renew (
  bucket     INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  number     INTEGER NOT NULL CHECK (number > 0),
  cti        BLOB    NOT NULL CHECK (length(cti) = 8),
  kid        BLOB    NOT NULL CHECK (length(kid) = 4),
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, number, cti, kid)
) STRICT, WITHOUT ROWID;
