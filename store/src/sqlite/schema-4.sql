-- Version 4. Commands on passengers, kept for every issuer.

-- The last command on each passenger; the number grows with each. standing 0: active, 1: suspended,
-- 2: revoked.
CREATE TABLE subject_command (
  bucket   INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  subject  BLOB    NOT NULL CHECK (length(subject) = 16),
  number   INTEGER NOT NULL CHECK (number > 0),
  account  INTEGER NOT NULL CHECK (account > 0),
  standing INTEGER NOT NULL CHECK (standing BETWEEN 0 AND 2),
  reason   TEXT    NOT NULL,
  given_at INTEGER NOT NULL,
  PRIMARY KEY (bucket, subject)
) STRICT, WITHOUT ROWID;

-- The number of the last command that an issuer has confirmed.
CREATE TABLE command_confirmation (
  bucket  INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 63),
  subject BLOB    NOT NULL CHECK (length(subject) = 16),
  issuer  TEXT    NOT NULL,
  number  INTEGER NOT NULL CHECK (number > 0),
  at      INTEGER NOT NULL,
  PRIMARY KEY (bucket, subject, issuer)
) STRICT, WITHOUT ROWID;
