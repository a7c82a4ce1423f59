use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use obol_credential::UnixTime;

/// New accounts from one address at once.
pub(crate) const ENROLMENTS_PER_ADDRESS: u32 = 20;
/// Seconds after which one more may follow from that address.
pub(crate) const ADDRESS_PAUSE_S: u32 = 60;
/// New accounts from everywhere at once.
pub(crate) const ENROLMENTS_OVERALL: u32 = 600;
/// Seconds after which one more may follow from anywhere.
pub(crate) const OVERALL_PAUSE_S: u32 = 1;
/// Addresses that are remembered; beyond it the limit of all addresses alone decides.
const ADDRESSES_MAX: usize = 10_000;

const _: () = assert!(ENROLMENTS_PER_ADDRESS < ENROLMENTS_OVERALL);
const _: () = assert!(OVERALL_PAUSE_S < ADDRESS_PAUSE_S);

/// How many keys nobody knows may become accounts: each is a row for good, and anybody may ask.
#[derive(Debug, Default)]
pub(crate) struct Enrolments(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    overall: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
}

/// A token bucket, as the time at which it is full again: full when that has passed.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: u64,
}

impl Enrolments {
    /// Takes one enrolment of this address.
    ///
    /// # Errors
    /// The seconds after which it may ask again.
    pub(crate) fn take(&self, address: IpAddr, now: UnixTime) -> Result<(), u32> {
        let now = u64::from(now.0);
        // Numbers are whole whoever panicked while holding them.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.addresses.len() >= ADDRESSES_MAX {
            buckets.addresses.retain(|_, bucket| bucket.full_at > now);
        }
        let address = neighbourhood(address);
        let room = buckets.addresses.len() < ADDRESSES_MAX;
        let known = buckets.addresses.get(&address).copied();
        let of_address = known.unwrap_or_default();
        let after = of_address.less_one(now, ENROLMENTS_PER_ADDRESS, ADDRESS_PAUSE_S)?;
        let overall = buckets
            .overall
            .less_one(now, ENROLMENTS_OVERALL, OVERALL_PAUSE_S)?;
        buckets.overall = overall;
        if room || known.is_some() {
            buckets.addresses.insert(address, after);
        }
        Ok(())
    }
}

impl Bucket {
    fn less_one(self, now: u64, burst: u32, pause_s: u32) -> Result<Self, u32> {
        let (burst, pause) = (u64::from(burst), u64::from(pause_s));
        let full_at = self.full_at.max(now) + pause;
        let latest = now + burst * pause;
        if full_at <= latest {
            return Ok(Self { full_at });
        }
        Err(u32::try_from(full_at - latest).expect("at most one pause of 32 bits"))
    }
}

/// Whoever has one address of an IPv6 /64 has all of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn address(last: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + last).into())
    }

    #[test]
    fn an_address_has_a_burst_and_then_one_enrolment_a_minute() {
        let enrolments = Enrolments::default();
        for _ in 0..ENROLMENTS_PER_ADDRESS {
            assert_eq!(enrolments.take(address(1), NOW), Ok(()));
        }
        assert_eq!(enrolments.take(address(1), NOW), Err(ADDRESS_PAUSE_S));
        assert_eq!(enrolments.take(address(1), NOW.plus(20)), Err(40));
        assert_eq!(enrolments.take(address(2), NOW), Ok(()));
        let later = NOW.plus(ADDRESS_PAUSE_S);
        assert_eq!(enrolments.take(address(1), later), Ok(()));
        assert_eq!(enrolments.take(address(1), later), Err(ADDRESS_PAUSE_S));
    }

    #[test]
    fn many_addresses_together_have_a_limit_too() {
        let enrolments = Enrolments::default();
        for last in 0..ENROLMENTS_OVERALL {
            assert_eq!(enrolments.take(address(last), NOW), Ok(()));
        }
        assert_eq!(enrolments.take(address(999), NOW), Err(OVERALL_PAUSE_S));
        let later = NOW.plus(OVERALL_PAUSE_S);
        assert_eq!(enrolments.take(address(999), later), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_a_limit() {
        let enrolments = Enrolments::default();
        for host in 0..ENROLMENTS_PER_ADDRESS {
            let address = format!("2001:db8::{host:x}").parse().unwrap();
            assert_eq!(enrolments.take(address, NOW), Ok(()));
        }
        let neighbour = "2001:db8::ffff:1".parse().unwrap();
        assert_eq!(enrolments.take(neighbour, NOW), Err(ADDRESS_PAUSE_S));
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(neighbourhood(mapped), address(1));
    }

    #[test]
    fn more_addresses_than_are_remembered_take_no_more_memory() {
        let enrolments = Enrolments::default();
        for last in 0..ADDRESSES_MAX as u32 + 10 {
            enrolments.take(address(last), NOW.plus(last)).ok();
        }
        let buckets = enrolments.0.lock().unwrap();
        assert!(buckets.addresses.len() <= ADDRESSES_MAX);
    }
}
