use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{Epoch, Head};

/// What the platform answers to a segment, as JSON: how far it holds the journal, and what became
/// of each record of the segment.
///
/// A terminal believes it only after comparing `epoch` with its own and `head` with its own head
/// at `watermark` (docs/spec/tap.md section 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The journal, 16 digits of lower-case hex.
    pub epoch: Epoch,
    /// The highest sequence number up to which the platform durably holds every record; 0 for none.
    pub watermark: u64,
    /// The head at `watermark`, 64 digits of lower-case hex; the journal's origin for 0.
    pub head: Head,
    /// One entry for each record of the segment, in its order.
    pub records: Vec<RecordAcknowledgement>,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAcknowledgement {
    /// The record's place in the journal.
    pub seq: u64,
    /// `"accepted"`, `"duplicate"`, `"conflict"` or `{"rejected": {"reason": "…"}}`.
    pub status: RecordStatus,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RecordStatus {
    /// Taken now.
    Accepted,
    /// Taken before: the same bytes at the same place.
    Duplicate,
    /// Other bytes stand at this place: both are kept for people to look at, and the watermark
    /// stays below.
    Conflict,
    /// Taken, and not charged as it stands.
    Rejected {
        /// A stable code such as `DEVICE_SIG`.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString, vec};

    fn acknowledgement() -> Acknowledgement {
        let status = [
            RecordStatus::Accepted,
            RecordStatus::Duplicate,
            RecordStatus::Conflict,
            RecordStatus::Rejected {
                reason: "DEVICE_SIG".to_string(),
            },
        ];
        let records = (1..)
            .zip(status)
            .map(|(seq, status)| RecordAcknowledgement { seq, status });
        Acknowledgement {
            epoch: Epoch([0xab; 8]),
            watermark: 2,
            head: Head([1; 32]),
            records: records.collect(),
        }
    }

    #[test]
    fn the_json_is_the_one_of_the_specification() {
        let json = serde_json::to_string(&acknowledgement()).unwrap();
        let expected = format!(
            concat!(
                r#"{{"epoch":"abababababababab","watermark":2,"head":"{}","records":["#,
                r#"{{"seq":1,"status":"accepted"}},{{"seq":2,"status":"duplicate"}},"#,
                r#"{{"seq":3,"status":"conflict"}},"#,
                r#"{{"seq":4,"status":{{"rejected":{{"reason":"DEVICE_SIG"}}}}}}]}}"#
            ),
            "01".repeat(32)
        );
        assert_eq!(json, expected);
        let back: Acknowledgement = serde_json::from_str(&json).unwrap();
        assert_eq!(back, acknowledgement());
    }

    #[test]
    fn unknown_fields_missing_fields_and_loose_hex_are_refused() {
        let good = serde_json::to_value(acknowledgement()).unwrap();
        let mut cases = vec![];
        let mut changed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = good.clone();
            change(&mut value);
            cases.push(value);
        };
        changed(&|v| v["extra"] = 1.into());
        changed(&|v| v["records"][0]["extra"] = 1.into());
        changed(&|v| v["records"][0]["status"] = "granted".into());
        changed(&|v| v["records"][3]["status"]["rejected"]["extra"] = 1.into());
        changed(&|v| v["epoch"] = "ABABABABABABABAB".into());
        changed(&|v| v["head"] = "01".into());
        changed(&|v| v["watermark"] = (-1).into());
        changed(&|v| drop(v.as_object_mut().unwrap().remove("head")));
        for case in cases {
            let text = case.to_string();
            assert!(
                serde_json::from_value::<Acknowledgement>(case).is_err(),
                "{text}"
            );
        }
    }
}
