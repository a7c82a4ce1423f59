-- Version 6. How long terminals hear nothing of the trust repository: plans of rotations are held
-- against it.

-- As a terminal last told, in its health report.
CREATE TABLE terminal_refresh (
  name         TEXT    NOT NULL PRIMARY KEY,
  refreshed_at INTEGER NOT NULL,
  silence_s    INTEGER
) STRICT, WITHOUT ROWID;
