//! Papers of a key ceremony, as strangers may hand them in.

use obol_kms_ceremony::{
    Approval, Plan, RosterChain, RosterChange, ShareSheet, Statement, Transcript,
};

use crate::Taken;

pub(crate) fn ceremony_plan(data: &[u8]) -> Taken {
    let parsed = Plan::parse(data);
    if let Ok(plan) = &parsed {
        let again = Plan::parse(data).expect("it was parsed before");
        assert_eq!(again.hash(), plan.hash());
        assert!(!plan.steps().is_empty(), "a plan without steps");
    }
    parsed.into()
}

pub(crate) fn ceremony_transcript(data: &[u8]) -> Taken {
    let whole = Transcript::whole(data);
    assert!(whole <= data.len());
    let read = Transcript::read(data);
    if read.is_ok() {
        assert_eq!(whole, data.len(), "a part of an event was accepted");
    }
    read.into()
}

pub(crate) fn ceremony_statement(data: &[u8]) -> Taken {
    let decoded = Statement::decode(data);
    if let Ok(statement) = &decoded {
        assert_eq!(statement.encode(), data);
    }
    decoded.into()
}

pub(crate) fn ceremony_approval(data: &[u8]) -> Taken {
    let decoded = Approval::decode(data);
    if let Ok(approval) = &decoded {
        assert_eq!(approval.encode(), data);
    }
    decoded.into()
}

pub(crate) fn roster_change(data: &[u8]) -> Taken {
    let decoded = RosterChange::decode(data);
    if let Ok(change) = &decoded {
        assert_eq!(change.encode(), data);
    }
    decoded.into()
}

/// The first roster, and after a zero byte one change of it.
pub(crate) fn roster_chain(data: &[u8]) -> Taken {
    let end = data.iter().position(|byte| *byte == 0);
    let (first, changes) = match end {
        Some(end) => (&data[..end], vec![data[end + 1..].to_vec()]),
        None => (data, Vec::new()),
    };
    let read = RosterChain::read(first, &changes);
    if let (Ok(chain), true) = (&read, changes.is_empty()) {
        assert_eq!(chain.first().hash(), chain.in_force().hash());
    }
    read.into()
}

pub(crate) fn share_sheet(data: &[u8]) -> Taken {
    let parsed = ShareSheet::parse(data);
    if let Ok(sheet) = &parsed {
        let text = sheet.to_toml();
        let again = ShareSheet::parse(text.as_bytes()).expect("it was written so");
        assert_eq!(again.to_toml(), text);
    }
    parsed.into()
}
