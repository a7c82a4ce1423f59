//! What a module and a token can do, asked of them instead of believed from a data sheet.
//!
//! Keys of the probe are session objects: they end with their session, and the token is compared
//! before and after.

mod behaviour;

use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use serde::Serialize;

use crate::error::CallError;
use crate::gate::Outage;
use crate::module::Module;
use crate::token::Token;

/// What this house asks of a token, and for what.
const WANTED: [(MechanismType, &str); 8] = [
    (
        MechanismType::ECC_KEY_PAIR_GEN,
        "keys of every class that signs",
    ),
    (
        MechanismType::ECDSA,
        "signatures of every class but channel",
    ),
    (MechanismType::RSA_PKCS_KEY_PAIR_GEN, "channel keys"),
    (MechanismType::RSA_PKCS, "channel signatures"),
    (MechanismType::SHA256_RSA_PKCS, "channel signatures"),
    (MechanismType::AES_KEY_GEN, "data keys"),
    (MechanismType::AES_GCM, "wrapping data keys"),
    (MechanismType::AES_KEY_WRAP, "wrapping data keys"),
];

/// The capability report of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleReport {
    /// `CK_INFO`.
    pub library: Library,
    /// Every slot that has a token in it.
    pub slots: Vec<SlotReport>,
}

/// The library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Its path, canonical.
    pub path: String,
    /// `manufacturerID`.
    pub manufacturer: String,
    /// `libraryDescription`.
    pub description: String,
    /// `libraryVersion`.
    pub version: String,
    /// `cryptokiVersion`: the PKCS#11 version it speaks.
    pub cryptoki: String,
}

/// A slot and the token in it. The slot's number is for people alone: it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotReport {
    /// The slot's number now.
    pub slot: u64,
    /// `slotDescription`.
    pub description: String,
    /// Whether the slot says of itself that it is hardware.
    pub hardware: bool,
    /// The token's label; absent while it is not initialised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The token's serial number.
    pub serial: String,
    /// The token's model.
    pub model: String,
    /// The token's manufacturer.
    pub manufacturer: String,
    /// Hardware version of the token.
    pub hardware_version: String,
    /// Firmware version of the token.
    pub firmware_version: String,
    /// State of the user PIN.
    pub pin: PinState,
}

/// What the token says of its user PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// Nothing is wrong.
    Good,
    /// There is none yet.
    NotSet,
    /// A wrong one was given.
    CountLow,
    /// One more wrong one locks it.
    FinalTry,
    /// Too many wrong ones were given.
    Locked,
    /// It has to be changed first.
    ToBeChanged,
}

/// The capability report of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenReport {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// The mechanisms that this house uses.
    pub mechanisms: Vec<MechanismReport>,
    /// What a key of the vendor's template is, attribute by attribute.
    pub attributes: Vec<AttributeReport>,
    /// What the token does.
    pub behaviours: Vec<Behaviour>,
    /// Objects in the token, before the probe and after it.
    pub objects: (usize, usize),
}

/// A mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MechanismReport {
    /// Its name in the standard.
    pub mechanism: String,
    /// What this house uses it for.
    pub used_for: &'static str,
    /// What the token says of it; absent when it has no such mechanism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<MechanismFound>,
}

/// `CK_MECHANISM_INFO`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MechanismFound {
    /// Smallest key, in the unit of the mechanism (bits, or bytes for AES).
    pub min_key: usize,
    /// Largest key.
    pub max_key: usize,
    /// Whether the device does it itself.
    pub hardware: bool,
}

/// An attribute of a generated private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttributeReport {
    /// Its name in the standard.
    pub attribute: String,
    /// What was asked for.
    pub asked: String,
    /// What the key has, or how the module refused.
    pub found: String,
    /// Whether the two are the same.
    pub honoured: Honoured,
}

/// Whether a wish was fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Honoured {
    /// The key is as asked.
    Yes,
    /// The key was made, and is otherwise.
    No,
    /// No key was made with this wish.
    Refused,
}

/// Something that the standard leaves open or that modules get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// What was tried.
    pub question: &'static str,
    /// What the token did.
    pub answer: String,
    /// What that means here.
    pub verdict: Verdict,
}

/// What an answer means for the use of the token here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it is best.
    Good,
    /// Allowed for by this house: its own checks stand in.
    Tolerated,
    /// The token cannot be used for signing here.
    Bad,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The token is away.
    #[error(transparent)]
    Outage(#[from] Outage),
    /// A call that must work did not.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The template is refused as a whole and in each part: no key at all could be made.
    #[error("the token makes no EC key on P-256 at all")]
    NoKey(#[source] CallError),
}

impl TokenReport {
    /// Whether keys can be kept and used here.
    #[must_use]
    pub fn usable(&self) -> bool {
        let signs = [MechanismType::ECC_KEY_PAIR_GEN, MechanismType::ECDSA];
        let has = |wanted: &MechanismType| {
            let named = |report: &&MechanismReport| report.mechanism == wanted.to_string();
            let report = self.mechanisms.iter().find(named);
            report.is_some_and(|report| report.found.is_some())
        };
        signs.iter().all(has)
            && self
                .attributes
                .iter()
                .all(|one| one.honoured == Honoured::Yes)
            && self
                .behaviours
                .iter()
                .all(|one| one.verdict != Verdict::Bad)
            && self.objects.0 == self.objects.1
    }
}

/// Asks a module about itself and its slots, without a PIN.
///
/// # Errors
/// The call that failed.
pub fn module(module: &Module) -> Result<ModuleReport, CallError> {
    let pkcs11 = &module.loaded.pkcs11;
    let info = pkcs11.get_library_info()?;
    let slots = pkcs11.get_slots_with_token()?;
    Ok(ModuleReport {
        library: Library {
            path: module.path().display().to_string(),
            manufacturer: info.manufacturer_id().trim_end().to_owned(),
            description: info.library_description().trim_end().to_owned(),
            version: info.library_version().to_string(),
            cryptoki: info.cryptoki_version().to_string(),
        },
        slots: slots
            .into_iter()
            .map(|slot| slot_report(module, slot))
            .collect::<Result<_, _>>()?,
    })
}

fn slot_report(module: &Module, slot: Slot) -> Result<SlotReport, CallError> {
    let pkcs11 = &module.loaded.pkcs11;
    let (info, token) = (pkcs11.get_slot_info(slot)?, pkcs11.get_token_info(slot)?);
    let pin = match () {
        () if !token.user_pin_initialized() => PinState::NotSet,
        () if token.user_pin_locked() => PinState::Locked,
        () if token.user_pin_final_try() => PinState::FinalTry,
        () if token.user_pin_count_low() => PinState::CountLow,
        () if token.user_pin_to_be_changed() => PinState::ToBeChanged,
        () => PinState::Good,
    };
    Ok(SlotReport {
        slot: slot.id(),
        description: info.slot_description().trim_end().to_owned(),
        hardware: info.hardware_slot(),
        label: token
            .token_initialized()
            .then(|| token.label().trim_end().to_owned()),
        serial: token.serial_number().trim_end().to_owned(),
        model: token.model().trim_end().to_owned(),
        manufacturer: token.manufacturer_id().trim_end().to_owned(),
        hardware_version: token.hardware_version().to_string(),
        firmware_version: token.firmware_version().to_string(),
        pin,
    })
}

/// Asks a token what it can do, with keys that end with the session.
///
/// # Errors
/// [`ProbeError`].
pub fn token(token: &Token) -> Result<TokenReport, ProbeError> {
    let summary = token.summary();
    let template = crate::template::Template::of_manufacturer(&summary.manufacturer);
    let before = token.write(|session, _| Ok::<_, ProbeError>(objects(session)?))?;
    let (mechanisms, attributes, behaviours) = token.write(|session, _| {
        Ok::<_, ProbeError>((
            mechanisms(token, session)?,
            behaviour::attributes(session, template)?,
            behaviour::behaviours(session, template)?,
        ))
    })?;
    let after = token.write(|session, _| Ok::<_, ProbeError>(objects(session)?))?;
    Ok(TokenReport {
        label: summary.label,
        serial: summary.serial,
        mechanisms,
        attributes,
        behaviours,
        objects: (before, after),
    })
}

/// Session objects of this session are gone with it, so a fresh one counts those that stay.
fn objects(session: &Session) -> Result<usize, CallError> {
    Ok(session.find_objects(&[])?.len())
}

fn mechanisms(token: &Token, session: &Session) -> Result<Vec<MechanismReport>, CallError> {
    let slot = session.get_session_info()?.slot_id();
    let pkcs11 = token.pkcs11();
    let list = pkcs11.get_mechanism_list(slot)?;
    let report = |(mechanism, used_for): (MechanismType, &'static str)| {
        let found = match list.contains(&mechanism) {
            true => {
                let info = pkcs11.get_mechanism_info(slot, mechanism)?;
                Some(MechanismFound {
                    min_key: info.min_key_size(),
                    max_key: info.max_key_size(),
                    hardware: info.hardware(),
                })
            }
            false => None,
        };
        Ok(MechanismReport {
            mechanism: mechanism.to_string(),
            used_for,
            found,
        })
    };
    WANTED.into_iter().map(report).collect()
}

/// The same attribute, of an object that ends with its session.
fn of_session(template: Vec<Attribute>) -> Vec<Attribute> {
    let change = |attribute: Attribute| match attribute.attribute_type() {
        AttributeType::Token => Attribute::Token(false),
        _ => attribute,
    };
    template.into_iter().map(change).collect()
}
