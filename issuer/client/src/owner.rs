//! Which issuer a subject belongs to.

use sha2::{Digest, Sha256};

/// Positions of `names` in the order in which they serve a subject, its owner first.
///
/// Rendezvous hashing: each name's weight for the subject is SHA-256 of the text
/// `obol issuer owner`, a zero byte, the name, a zero byte and the 16 bytes of the handle; the
/// highest serves. Only the set of names counts, not their order nor where they listen. A name that
/// comes or goes moves the subjects of that name and nobody else's.
#[must_use]
pub fn order_of<S: AsRef<str>>(names: &[S], subject: &[u8; 16]) -> Vec<usize> {
    let weights: Vec<_> = names
        .iter()
        .map(|name| weight(name.as_ref(), subject))
        .collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| weights[*b].cmp(&weights[*a]));
    order
}

fn weight(name: &str, subject: &[u8; 16]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"obol issuer owner\0")
        .chain_update(name)
        .chain_update([0])
        .chain_update(subject)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: u32) -> [u8; 16] {
        let mut handle = [0x5a; 16];
        handle[..4].copy_from_slice(&number.to_be_bytes());
        handle
    }

    fn owner<'a>(names: &[&'a str], number: u32) -> &'a str {
        names[order_of(names, &subject(number))[0]]
    }

    #[test]
    fn the_owner_follows_from_the_names_alone() {
        for number in 0..100 {
            let one = owner(&["a", "b", "c"], number);
            assert_eq!(owner(&["c", "a", "b"], number), one);
        }
        // Stable for ever: another function would move every subject at the next release.
        let first: String = (0..16)
            .map(|number| owner(&["a", "b", "c"], number))
            .collect();
        assert_eq!(first, "bbbabbccacccbaba");
    }

    #[test]
    fn a_name_that_goes_moves_only_its_own_subjects_and_each_to_its_second_choice() {
        let names = ["a", "b", "c"];
        for number in 0..1000 {
            let order = order_of(&names, &subject(number));
            let before = names[order[0]];
            let after = owner(&["a", "c"], number);
            match before {
                "b" => assert_eq!(after, names[order[1]]),
                stays => assert_eq!(after, stays),
            }
        }
    }

    #[test]
    fn subjects_spread_evenly() {
        let names = ["metro-1", "metro-2", "metro-3", "metro-4"];
        let mut counts = [0_u32; 4];
        for number in 0..4000 {
            counts[order_of(&names, &subject(number))[0]] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
