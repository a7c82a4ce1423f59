-- What let a key that terminals meet become active: the texts of plan and fleet as they were
-- simulated, or that there was no fleet. 'former': activated before plans were demanded.
CREATE TABLE clearance (
    spki    BLOB NOT NULL,
    version INTEGER NOT NULL, -- the key's version afterwards
    kind    TEXT NOT NULL CHECK (kind IN ('former', 'no-fleet', 'planned')),
    plan    TEXT,
    fleet   TEXT,
    PRIMARY KEY (spki, version),
    FOREIGN KEY (spki, version) REFERENCES change (spki, version),
    CHECK ((kind = 'planned') = (plan IS NOT NULL)),
    CHECK ((kind = 'planned') = (fleet IS NOT NULL))
) STRICT;

INSERT INTO clearance
SELECT change.spki, change.version, 'former', NULL, NULL
FROM change JOIN key ON key.spki = change.spki
WHERE change.act = 'activate'
    AND key.class IN ('issuer', 'access-ca', 'tuf-root', 'tuf-targets', 'tuf-online');
