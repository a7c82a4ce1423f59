//! What a terminal records and sends (docs/spec/tap.md).

use obol_mint::DEVICE;
use obol_tap::{
    Acknowledgement, Epoch, Head, TapRecord, TerminalKey, TerminalName, UnsignedSegment,
    VerifiedSegment,
};

use obol_pos_sdk::JournalFile;

use crate::Taken;
use crate::files::with_file;

const EPOCH: Epoch = Epoch([9; 8]);

pub(crate) fn tap_record(data: &[u8]) -> Taken {
    let decoded = TapRecord::decode(data);
    if let Ok(record) = &decoded {
        assert_eq!(record.encode(), data);
    }
    decoded.into()
}

pub(crate) fn tap_segment(data: &[u8]) -> Taken {
    VerifiedSegment::decode(data, &key()).into()
}

/// The records of a segment, each behind two bytes of length: what a terminal may sign, a platform
/// reads, and the other way round.
pub(crate) fn tap_segment_content(data: &[u8]) -> Taken {
    let records = obol_log::bundle_entries(data).map(|entry| entry.map(|(_, bytes)| bytes));
    let Ok(records) = records.collect::<Result<Vec<_>, _>>() else {
        return Taken::Refused;
    };
    let terminal = TerminalName::new("bus-7").expect("a name");
    let origin = Head::origin(&terminal, EPOCH);
    let unsigned = UnsignedSegment::new(&terminal, EPOCH, 1, origin, &records);
    if let Ok(segment) = &unsigned {
        let key = key();
        let signature = DEVICE.sign(&segment.signature_input(key.id()));
        let signature = signature.as_slice().try_into().expect("64 bytes");
        let bytes = segment.assemble(key.id(), &signature);
        let read = VerifiedSegment::decode(&bytes, &key).expect("it was signed as it is read");
        let read: Vec<_> = read.records().iter().map(|record| &record.bytes).collect();
        assert_eq!(read, records);
    }
    unsigned.into()
}

pub(crate) fn tap_acknowledgement(data: &[u8]) -> Taken {
    let decoded = serde_json::from_slice::<Acknowledgement>(data);
    if let Ok(acknowledgement) = &decoded {
        let again = serde_json::to_vec(acknowledgement).expect("it has been JSON");
        let again: Acknowledgement = serde_json::from_slice(&again).expect("it was written so");
        assert_eq!(again, *acknowledgement);
    }
    decoded.into()
}

/// A terminal's journal as the disk gives it back. What a repair makes of a damaged one is sound.
pub(crate) fn terminal_journal(data: &[u8]) -> Taken {
    let terminal = TerminalName::new("bus-7").expect("a name");
    with_file("journal", data, |path| {
        let checked = JournalFile::open(path, &terminal).and_then(|journal| {
            let last = journal.check()?;
            let read = journal.records(journal.first_seq()?, usize::MAX >> 1)?;
            assert!(read.iter().all(|stored| stored.record.seq <= last));
            Ok(last)
        });
        if let Ok(repaired) = obol_pos_sdk::repair(path, &terminal) {
            let journal = JournalFile::open(path, &terminal).expect("what was repaired opens");
            let last = journal.check().expect("what was repaired is sound");
            assert_eq!(last, repaired.last_seq);
            if let Ok(checked) = checked {
                assert_eq!((checked, repaired.lost.is_empty()), (last, true));
            }
        }
        checked.into()
    })
}

fn key() -> TerminalKey {
    TerminalKey::from_sec1(&DEVICE.point()).expect("a point")
}

/// The header of an upload, as the platform reads it.
pub(crate) fn tap_health(data: &[u8]) -> Taken {
    let read: Result<obol_tap::Health, _> = serde_json::from_slice(data);
    let checked = read.ok().and_then(|health| health.checked().ok());
    if let Some(health) = &checked {
        let again = serde_json::to_vec(health).expect("a report has a JSON form");
        assert!(again.len() <= obol_tap::HEALTH_MAX);
    }
    checked.into()
}
