//! Status lists against the draft's examples, and against hostile ones.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

use hex_literal::hex;
use minicbor::Encoder;
use miniz_oxide::deflate::compress_to_vec_zlib;
use obol_credential::{Kid, UnixTime};
use obol_trust::{STATUS_LIST_BITS_MAX, StatusList, StatusListId, StatusListSize, SuspendedKeys};
use proptest::prelude::*;

/// draft-ietf-oauth-status-list section 4.3, one bit: sixteen entries from index 0.
const DRAFT: [u8; 22] = hex!("a2646269747301636c73744a78dadbb918000217015d");
const DRAFT_BITS: [u8; 16] = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1];
/// The same section's example of two bits an entry.
const DRAFT_TWO_BITS: [u8; 23] = hex!("a2646269747302636c73744b78da3be9f2130003df0207");

fn forged(bits: u64, list: &[u8]) -> Vec<u8> {
    let mut sink = Encoder::new(Vec::new());
    sink.map(2).unwrap().str("bits").unwrap().u64(bits).unwrap();
    sink.str("lst").unwrap().bytes(list).unwrap();
    sink.into_writer()
}

fn rule(bytes: &[u8]) -> &'static str {
    StatusList::decode(bytes).unwrap_err().rule
}

#[test]
fn the_drafts_one_bit_example_reads_as_it_says() {
    let list = StatusList::decode(&DRAFT).unwrap();
    assert_eq!(list.entries(), 16);
    for (index, bit) in DRAFT_BITS.iter().enumerate() {
        assert_eq!(list.denies(index as u32), Some(*bit == 1), "index {index}");
    }
    assert_eq!(list.denies(16), None);
}

#[test]
fn the_drafts_one_bit_example_is_what_we_write() {
    let mut list = StatusList::empty(16).unwrap();
    for (index, bit) in DRAFT_BITS.iter().enumerate() {
        if *bit == 1 {
            list.deny(index as u32).unwrap();
        }
    }
    assert_eq!(list, StatusList::decode(&DRAFT).unwrap());
    assert_eq!(list.encode(), DRAFT);
}

#[test]
fn the_drafts_two_bit_example_is_refused_as_entries_have_one_bit_here() {
    assert_eq!(rule(&DRAFT_TWO_BITS), "entries are not of one bit");
}

#[test]
fn a_list_that_swells_beyond_two_mebibytes_is_refused_before_it_swells() {
    let bomb = compress_to_vec_zlib(&vec![0; STATUS_LIST_BITS_MAX / 8 + 1], 9);
    assert!(bomb.len() < 4096, "{}", bomb.len());
    assert_eq!(rule(&forged(1, &bomb)), "no zlib of at most 2 MiB of bits");
    let longest = compress_to_vec_zlib(&vec![0; STATUS_LIST_BITS_MAX / 8], 9);
    let longest = StatusList::decode(&forged(1, &longest)).unwrap();
    assert_eq!(longest.entries(), STATUS_LIST_BITS_MAX);
}

#[test]
fn bytes_behind_or_missing_from_the_compressed_list_are_refused() {
    let good = compress_to_vec_zlib(&[0, 1, 2, 3], 9);
    let behind = [good.as_slice(), &[0]].concat();
    assert_eq!(
        rule(&forged(1, &behind)),
        "bytes behind the compressed list"
    );
    for cut in 0..good.len() {
        let fault = rule(&forged(1, &good[..cut]));
        assert_eq!(fault, "no zlib of at most 2 MiB of bits", "{cut}");
    }
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(
        rule(&forged(1, &damaged)),
        "no zlib of at most 2 MiB of bits"
    );
}

#[test]
fn a_list_without_entries_is_refused() {
    let none = compress_to_vec_zlib(&[], 9);
    assert_eq!(rule(&forged(1, &none)), "a list without entries");
    for entries in [0, 7, 12, STATUS_LIST_BITS_MAX + 8] {
        assert_eq!(StatusList::empty(entries), Err(StatusListSize(entries)));
    }
}

#[test]
fn members_doubled_exchanged_missing_or_behind_are_refused() {
    let list = compress_to_vec_zlib(&[1], 9);
    let mut exchanged = Encoder::new(Vec::new());
    exchanged
        .map(2)
        .unwrap()
        .str("lst")
        .unwrap()
        .bytes(&list)
        .unwrap();
    exchanged.str("bits").unwrap().u8(1).unwrap();
    let order = "members are not bits and lst";
    assert_eq!(rule(exchanged.writer()), order);
    let mut doubled = Encoder::new(Vec::new());
    doubled.map(2).unwrap().str("bits").unwrap().u8(1).unwrap();
    doubled.str("bits").unwrap().u8(1).unwrap();
    assert_eq!(rule(doubled.writer()), order);
    assert_eq!(
        rule(&[0xa1, 0x64, b'b', b'i', b't', b's', 1]),
        "map of another length"
    );
    assert_eq!(rule(&[DRAFT.as_slice(), &[0]].concat()), "trailing bytes");
    assert_eq!(rule(&[]), "map expected");
}

#[test]
fn a_million_credentials_one_in_a_hundred_denied_take_less_than_sixteen_kibibytes() {
    // The indexes of a list that is in full use, spread as the issuer draws them.
    let mut list = StatusList::empty(1 << 20).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut denied = 0;
    while denied < 10_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = (state >> 44) as u32;
        denied += u32::from(list.denies(index) == Some(false));
        list.deny(index).unwrap();
    }
    assert_eq!(list.denied(), 10_000);
    let bytes = list.encode();
    assert!(bytes.len() < 16 * 1024, "{} bytes", bytes.len());
    assert_eq!(StatusList::decode(&bytes).unwrap(), list);
}

#[test]
fn a_million_live_credentials_in_lists_that_are_used_to_two_thirds_keep_to_the_same_budget() {
    // 699 051 of 1 048 576 indexes are live, one in a hundred of those is denied.
    let mut list = StatusList::empty(1 << 20).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut denied = 0;
    while denied < 6_991 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = (state >> 44) as u32;
        denied += u32::from(list.denies(index) == Some(false));
        list.deny(index).unwrap();
    }
    let bytes = list.encode().len() * 1_000_000 / 699_051;
    eprintln!("{bytes} bytes for each million that are live");
    assert!(bytes < 16 * 1024, "{bytes} bytes a million");
}

#[test]
fn a_credentials_list_is_that_of_its_key_and_day() {
    let id = StatusListId::of(Kid([1; 4]), UnixTime(20_000 * 86_400 + 86_399));
    assert_eq!(id.epoch, 20_000);
}

#[test]
fn suspended_keys_ascend_and_are_at_most_sixty_four() {
    let keys = SuspendedKeys::new(vec![Kid([2; 4]), Kid([1; 4]), Kid([2; 4])]).unwrap();
    assert_eq!(keys.kids(), [Kid([1; 4]), Kid([2; 4])]);
    assert!(keys.contains(Kid([2; 4])) && !keys.contains(Kid([3; 4])));
    assert_eq!(SuspendedKeys::decode(&keys.encode()), Ok(keys));
    let many = (0..65).map(|kid| Kid([kid; 4])).collect();
    let refused = SuspendedKeys::new(many).unwrap_err();
    assert_eq!(refused.to_string(), "65 suspended keys, more than 64");
    let fault = |bytes: &[u8]| SuspendedKeys::decode(bytes).unwrap_err().rule;
    let order = "kids are not ascending, each once";
    assert_eq!(
        fault(&hex!("a2 01 01 02 82 44 02020202 44 02020202")),
        order
    );
    assert_eq!(
        fault(&hex!("a2 01 01 02 82 44 02020202 44 01010101")),
        order
    );
    let version = "unknown version of the list of suspended keys";
    assert_eq!(fault(&hex!("a2 01 02 02 80")), version);
    assert_eq!(fault(&hex!("a2 01 01 02 80 00")), "trailing bytes");
}

proptest! {
    #[test]
    fn any_list_reads_back(indexes in proptest::collection::vec(0u32..4096, 0..200)) {
        let mut list = StatusList::empty(4096).unwrap();
        for index in &indexes {
            list.deny(*index).unwrap();
        }
        let again = StatusList::decode(&list.encode()).unwrap();
        prop_assert_eq!(&again, &list);
        for index in indexes {
            prop_assert_eq!(again.denies(index), Some(true));
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        if let Ok(list) = StatusList::decode(&bytes) {
            prop_assert!(list.entries() > 0);
        }
        if let Ok(keys) = SuspendedKeys::decode(&bytes) {
            prop_assert_eq!(keys.encode(), bytes);
        }
    }
}
