#![doc = include_str!("../README.md")]

mod abi;
mod account;
mod ceremony;
mod credential;
mod files;
mod issuer;
#[path = "../../pos-sdk/tests/terminal/issuing.rs"]
#[allow(clippy::unwrap_used)] // it is the tests' as well
mod issuing;
mod kms;
mod log;
mod mutation;
mod picture;
mod policy;
mod registry;
mod services;
mod tap;
mod trust;
mod x509;

pub use mutation::Mutator;

/// What a parser made of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// They are a value of its format, and what must hold of one was checked.
    Accepted,
    /// They are not, and it said so.
    Refused,
}

impl<T, E> From<Result<T, E>> for Taken {
    fn from(result: Result<T, E>) -> Taken {
        match result {
            Ok(_) => Taken::Accepted,
            Err(_) => Taken::Refused,
        }
    }
}

impl<T> From<Option<T>> for Taken {
    fn from(option: Option<T>) -> Taken {
        option.ok_or(()).into()
    }
}

/// One parser, with all that must hold of what it accepts.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Gives it bytes. Panics where something does not hold that must.
    pub take: fn(&[u8]) -> Taken,
    /// What one input costs.
    pub cost: Cost,
}

/// What one input costs: how many of them a test tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Microseconds.
    Cheap,
    /// A signature, a compiled policy or a file for each.
    Dear,
}

macro_rules! targets {
    ($($cost:ident $module:ident :: $name:ident),* $(,)?) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            take: $module::$name,
            cost: Cost::$cost,
        }),*];
    };
}

targets! {
    Cheap credential::pt1_text,
    Cheap credential::pt1_presentation,
    Cheap credential::pt1_credential,
    Cheap credential::pt1_claims,
    Cheap credential::pt1_possession,
    Dear credential::pt1_scan,
    Cheap tap::tap_record,
    Dear tap::tap_segment,
    Dear tap::tap_segment_content,
    Cheap tap::tap_acknowledgement,
    Dear tap::terminal_journal,
    Dear abi::terminal_calls,
    Dear abi::verifier_calls,
    Cheap tap::tap_health,
    Cheap trust::trust_bundle,
    Dear trust::trust_accept,
    Dear trust::trust_root,
    Cheap trust::tuf_metadata,
    Cheap trust::status_list,
    Cheap trust::suspended_keys,
    Cheap trust::fare_pack,
    Cheap trust::fare_tariff,
    Cheap log::log_leaf,
    Cheap log::log_checkpoint,
    Cheap log::log_note,
    Cheap log::log_proof,
    Dear log::log_inclusion,
    Cheap log::log_tile_path,
    Cheap log::log_bundle,
    Cheap log::log_submission,
    Dear log::log_key,
    Cheap log::audit_journal,
    Cheap kms::kms_call,
    Cheap kms::kms_reply,
    Cheap kms::kms_to_worker,
    Cheap kms::kms_from_worker,
    Cheap kms::pkcs11_uri,
    Dear kms::token_file,
    Dear kms::daemon_config,
    Cheap kms::kms_payload,
    Cheap registry::officers_statement,
    Dear registry::officers_approval,
    Dear registry::officers_roster,
    Dear registry::rotation_plan,
    Dear registry::rotation_fleet,
    Dear registry::registry_backup,
    Dear ceremony::ceremony_plan,
    Dear ceremony::ceremony_transcript,
    Cheap ceremony::ceremony_statement,
    Cheap ceremony::ceremony_approval,
    Cheap ceremony::roster_change,
    Dear ceremony::roster_chain,
    Dear ceremony::share_sheet,
    Dear policy::cedar_policies,
    Dear policy::cedar_schema,
    Dear x509::certificate,
    Dear x509::certificate_request,
    Cheap x509::revocation_list,
    Dear x509::peer_certificate,
    Dear x509::lints,
    Dear x509::profile,
    Dear x509::waivers,
    Dear account::dpop_proof,
    Dear account::bank_notice,
    Dear account::bank_key,
    Cheap services::problem_document,
    Dear services::enrolment_request,
    Dear services::enrolment_body,
    Cheap services::credential_batch,
    Cheap services::denied_lists,
    Cheap services::enrolment_answer,
    Dear services::issuer_config,
    Dear services::platform_config,
    Cheap services::terminal_provisioning,
    Dear services::terminal_invitation,
    Dear issuer::credential_templates,
    Cheap issuer::issuer_certificate_file,
    Cheap issuer::idempotency_key,
    Cheap issuer::standing_command,
    Cheap issuer::path_name,
    Dear issuer::offline_root,
    Dear issuer::offline_targets,
    Cheap issuer::offline_path,
    Dear picture::qr_picture,
}
