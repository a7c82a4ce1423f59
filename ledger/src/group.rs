use core::fmt;

use sha2::{Digest, Sha256};

use crate::{Bucket, Transfer};

/// The most transfers one group may carry.
pub const MAX_LEGS: usize = 16;

/// The longest business key, in bytes.
pub const SOURCE_KEY_MAX: usize = 128;

/// What kind of event a group records. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum GroupKind {
    /// 1: a receipt of a recharge channel.
    Receipt = 1,
    /// 10: the charge of one ride.
    Ride = 10,
    /// 11: the charge of one ride taken back; in books from before adjustments.
    RideReversal = 11,
    /// 12: a change of what one ride is charged, numbered from 1 for each ride.
    RideAdjustment = 12,
}

impl GroupKind {
    /// All kinds.
    pub const ALL: [GroupKind; 4] = [
        GroupKind::Receipt,
        GroupKind::Ride,
        GroupKind::RideReversal,
        GroupKind::RideAdjustment,
    ];

    /// The stored number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The kind with this number.
    pub fn from_number(number: u16) -> Option<GroupKind> {
        GroupKind::ALL
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// The business key of a group: what happened, in words that the outside world also knows.
///
/// Visible ASCII, 1..=[`SOURCE_KEY_MAX`] bytes: `simulated-bank/T123`, `ferry-1/6f.../17`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(String);

/// A business key that is empty, too long or not visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a source key is 1 to {SOURCE_KEY_MAX} visible ASCII characters, not {0:?}")]
pub struct SourceKeyRefused(String);

impl SourceKey {
    /// Checks and takes a key.
    ///
    /// # Errors
    /// [`SourceKeyRefused`] when it is empty, too long or not visible ASCII.
    pub fn new(key: impl Into<String>) -> Result<SourceKey, SourceKeyRefused> {
        let key = key.into();
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > SOURCE_KEY_MAX || !visible {
            return Err(SourceKeyRefused(key.chars().take(SOURCE_KEY_MAX).collect()));
        }
        Ok(SourceKey(key))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a group: 16 bytes of SHA-256 over kind and business key, so that the same event has
/// the same id wherever it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub [u8; 16]);

/// Transfers that happen together or not at all.
///
/// Balanced, because each transfer is; inside one bucket; immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    kind: GroupKind,
    source_key: SourceKey,
    legs: Vec<Transfer>,
    bucket: Bucket,
}

/// Why transfers do not form a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefused {
    /// None or too many.
    #[error("a group has 1 to {MAX_LEGS} transfers, not {0}")]
    Legs(usize),
    /// Not all in one bucket.
    #[error("a group stays in one bucket, this one touches buckets {0} and {1}")]
    TwoBuckets(u8, u8),
}

impl Group {
    /// Binds transfers into one event.
    ///
    /// # Errors
    /// [`GroupRefused`] when there are none, too many, or they lie in several buckets.
    pub fn new(
        kind: GroupKind,
        source_key: SourceKey,
        legs: Vec<Transfer>,
    ) -> Result<Group, GroupRefused> {
        let count = legs.len();
        let Some(first) = legs.first().filter(|_| count <= MAX_LEGS) else {
            return Err(GroupRefused::Legs(count));
        };
        let bucket = first.dr().bucket;
        if let Some(other) = legs.iter().find(|leg| leg.dr().bucket != bucket) {
            return Err(GroupRefused::TwoBuckets(
                bucket.number(),
                other.dr().bucket.number(),
            ));
        }
        Ok(Group {
            kind,
            source_key,
            legs,
            bucket,
        })
    }

    /// The kind of event.
    pub const fn kind(&self) -> GroupKind {
        self.kind
    }

    /// The business key.
    pub const fn source_key(&self) -> &SourceKey {
        &self.source_key
    }

    /// The transfers, 1..=[`MAX_LEGS`].
    pub fn legs(&self) -> &[Transfer] {
        &self.legs
    }

    /// The bucket that holds all its accounts.
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// The id, a function of kind and business key alone.
    pub fn id(&self) -> GroupId {
        let mut hasher = Sha256::new();
        hasher.update(b"obol ledger group id\0");
        hasher.update(self.kind.number().to_be_bytes());
        hasher.update(self.source_key.as_str().as_bytes());
        let digest = hasher.finalize();
        GroupId(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// SHA-256 over everything the group says. Two groups with one id and two hashes are a
    /// conflict: somebody tells two stories about one event.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"obol ledger group\0");
        hasher.update(self.kind.number().to_be_bytes());
        hasher.update((self.source_key.as_str().len() as u64).to_be_bytes());
        hasher.update(self.source_key.as_str().as_bytes());
        for leg in &self.legs {
            for account in [leg.dr(), leg.cr()] {
                hasher.update([account.bucket.number()]);
                hasher.update(account.code.number().to_be_bytes());
                hasher.update(account.owner.to_be_bytes());
            }
            hasher.update(leg.amount().minor().to_be_bytes());
            hasher.update(leg.why().number().to_be_bytes());
            hasher.update(leg.event_at().to_be_bytes());
            hasher.update(leg.business_day().number().to_be_bytes());
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, Amount, BusinessDay, Code, Why};

    fn ride(number: u64, minor: i64) -> Transfer {
        let wallet = AccountId::wallet(number);
        let operator = AccountId::named(wallet.bucket, Code::OperatorClearing, "ferry");
        let day = BusinessDay::from_number(1);
        Transfer::new(
            wallet,
            operator,
            Amount::from_minor(minor),
            Why::Ride,
            86_400,
            day,
        )
        .unwrap()
    }

    fn group(legs: Vec<Transfer>) -> Result<Group, GroupRefused> {
        Group::new(
            GroupKind::Ride,
            SourceKey::new("ferry-1/00/1").unwrap(),
            legs,
        )
    }

    #[test]
    fn a_group_has_one_to_sixteen_legs_in_one_bucket() {
        assert_eq!(group(vec![]), Err(GroupRefused::Legs(0)));
        assert_eq!(group(vec![ride(1, 1); 17]), Err(GroupRefused::Legs(17)));
        assert_eq!(
            group(vec![ride(1, 1), ride(2, 1)]),
            Err(GroupRefused::TwoBuckets(1, 2))
        );
        assert!(group(vec![ride(1, 1); 16]).is_ok());
    }

    #[test]
    fn the_id_tells_the_event_and_the_hash_tells_the_story() {
        let (cheap, dear) = (
            group(vec![ride(1, 200)]).unwrap(),
            group(vec![ride(1, 201)]).unwrap(),
        );
        assert_eq!(cheap.id(), dear.id());
        assert_ne!(cheap.hash(), dear.hash());
    }

    #[test]
    fn a_source_key_is_visible_ascii() {
        for key in ["", "a b", "票", "a\n", &"x".repeat(129)] {
            assert!(SourceKey::new(key).is_err(), "{key:?}");
        }
        assert!(SourceKey::new("x".repeat(128)).is_ok());
    }
}
