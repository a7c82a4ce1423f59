-- Version 3. What a ride costs follows from all rides of its payer.

-- amount_minor, fare_rule: the ride's own fare. companion 1: part of no journey. transfer_*: how the
-- ride's class transfers by its fare pack; transfer_rule NULL: not at all.
ALTER TABLE code_use ADD COLUMN companion INTEGER NOT NULL DEFAULT 0 CHECK (companion IN (0, 1));
ALTER TABLE code_use ADD COLUMN transfer_rule INTEGER;
ALTER TABLE code_use ADD COLUMN transfer_within_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE code_use ADD COLUMN transfer_most INTEGER NOT NULL DEFAULT 0;
ALTER TABLE code_use ADD COLUMN transfer_kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE code_use ADD COLUMN transfer_discount_minor INTEGER NOT NULL DEFAULT 0;

-- What the books hold of the ride after so many postings, and the rule that set it.
ALTER TABLE code_use ADD COLUMN charged_minor INTEGER NOT NULL DEFAULT 0
  CHECK (charged_minor BETWEEN 0 AND amount_minor);
ALTER TABLE code_use ADD COLUMN charged_rule INTEGER NOT NULL DEFAULT 0;
ALTER TABLE code_use ADD COLUMN postings INTEGER NOT NULL DEFAULT 0 CHECK (postings >= 0);
UPDATE code_use SET charged_minor = amount_minor * charged, charged_rule = fare_rule, postings = 1;

-- A payer's rides by time: RideOrder.
CREATE INDEX code_use_by_payer ON code_use
  (payer_bucket, payer_code, payer_owner, accepted_at, terminal, epoch, seq);
