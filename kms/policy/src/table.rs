//! The committed policies as code, for builds without Cedar. Each line is one policy of
//! `policies/kms`; a test compares the two over all combinations.

use crate::decision::Verdict;
use crate::question::{KeyClass, Payload, Question, Role};

const BATCH_MAX: u32 = 256;
const OFFICERS_OFFLINE: u8 = 2;

struct Rule {
    id: &'static str,
    applies: fn(&Question) -> bool,
}

const PERMITS: [Rule; 8] = [
    Rule {
        id: "issuer-signs-credentials",
        applies: |q| {
            asks(
                q,
                Role::Issuer,
                &[Payload::CredentialClaims],
                &[KeyClass::Issuer],
            )
        },
    },
    Rule {
        id: "issuer-publishes-online-metadata",
        applies: |q| {
            let metadata = [
                Payload::TufTargets,
                Payload::TufSnapshot,
                Payload::TufTimestamp,
            ];
            asks(q, Role::Issuer, &metadata, &[KeyClass::TufOnline])
        },
    },
    Rule {
        id: "officer-certifies-and-revokes",
        applies: |q| {
            let payloads = [Payload::TbsCertificate, Payload::Crl];
            asks(
                q,
                Role::Officer,
                &payloads,
                &[KeyClass::Root, KeyClass::AccessCa],
            )
        },
    },
    Rule {
        id: "issuer-certifies-and-revokes-members",
        applies: |q| {
            let payloads = [Payload::TbsCertificate, Payload::Crl];
            asks(q, Role::Issuer, &payloads, &[KeyClass::AccessCa])
        },
    },
    Rule {
        id: "officer-signs-trust-root",
        applies: |q| asks(q, Role::Officer, &[Payload::TufRoot], &[KeyClass::TufRoot]),
    },
    Rule {
        id: "officer-signs-trust-bundle",
        applies: |q| {
            asks(
                q,
                Role::Officer,
                &[Payload::TufTargets],
                &[KeyClass::TufTargets],
            )
        },
    },
    Rule {
        id: "daemon-signs-its-checkpoints",
        applies: |q| {
            asks(
                q,
                Role::Daemon,
                &[Payload::LogCheckpoint],
                &[KeyClass::Audit],
            )
        },
    },
    Rule {
        id: "platform-closes-its-days",
        applies: |q| {
            asks(
                q,
                Role::Platform,
                &[Payload::LedgerDayRoot],
                &[KeyClass::LedgerClose],
            )
        },
    },
];

const FORBIDS: [Rule; 3] = [
    Rule {
        id: "offline-keys-need-two-officers",
        applies: |q| {
            let offline = [KeyClass::Root, KeyClass::TufRoot, KeyClass::TufTargets];
            offline.contains(&q.class) && q.context.approvals < OFFICERS_OFFLINE
        },
    },
    Rule {
        id: "batches-are-bounded",
        applies: |q| q.context.batch.get() > BATCH_MAX,
    },
    Rule {
        id: "only-credentials-come-in-batches",
        applies: |q| q.context.batch.get() > 1 && q.payload != Payload::CredentialClaims,
    },
];

pub(crate) fn judge(question: &Question) -> Verdict {
    let ids = |rules: &[Rule]| {
        let applying = rules.iter().filter(|rule| (rule.applies)(question));
        applying.map(|rule| rule.id.to_owned()).collect()
    };
    Verdict::of(ids(&FORBIDS), ids(&PERMITS))
}

fn asks(question: &Question, role: Role, payloads: &[Payload], classes: &[KeyClass]) -> bool {
    question.client.role() == role
        && payloads.contains(&question.payload)
        && classes.contains(&question.class)
}
