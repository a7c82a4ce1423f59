//! A waiver as its file has it, on its way from one officer to the next.

use data_encoding::BASE64URL_NOPAD;
use obol_credential::UnixTime;

use super::{InvalidWaiver, REASON_MAX, RawApproval, RawWaiver, RawWaivers, WaiverStatement};
use crate::x509::Rules;
use crate::x509::profile::ProfileName;

/// One waiver of a file. Of its approvals nothing is checked yet: [`Rules::with_waivers`] does that.
#[derive(Debug, Clone)]
pub struct Waiver(RawWaiver);

impl Waiver {
    /// A waiver of the version that `rule` has now, without approvals.
    ///
    /// # Errors
    /// [`InvalidWaiver::Unknown`] where the rule does not exist for this profile,
    /// [`InvalidWaiver::Reason`].
    pub fn new(
        rules: &Rules,
        rule: &str,
        profile: &str,
        reason: &str,
        not_after: UnixTime,
    ) -> Result<Waiver, InvalidWaiver> {
        let named = ProfileName::from_name(profile);
        let version = named.and_then(|profile| rules.lints.version(rule, profile));
        let Some(rule_version) = version else {
            let (rule, profile) = (rule.to_owned(), profile.to_owned());
            return Err(InvalidWaiver::Unknown { rule, profile });
        };
        if !(1..=REASON_MAX).contains(&reason.len()) {
            return Err(InvalidWaiver::Reason(rule.to_owned()));
        }
        Ok(Waiver(RawWaiver {
            rule: rule.to_owned(),
            rule_version,
            profile: profile.to_owned(),
            reason: reason.to_owned(),
            not_after: not_after.0,
            approval: Vec::new(),
        }))
    }

    /// Every waiver of a file.
    ///
    /// # Errors
    /// [`InvalidWaiver::Syntax`].
    pub fn read_all(text: &str) -> Result<Vec<Waiver>, InvalidWaiver> {
        let file = RawWaivers::parse(text)?;
        Ok(file.waiver.into_iter().map(Waiver).collect())
    }

    /// The waiver as a file; files of several waivers are such files one behind the other.
    ///
    /// # Panics
    /// Never: texts and numbers are TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let file = RawWaivers {
            waiver: vec![self.0.clone()],
        };
        toml::to_string(&file).expect("texts and numbers are TOML")
    }

    /// What an officer of this roster signs.
    ///
    /// # Errors
    /// [`InvalidWaiver::Unknown`] for a profile that does not exist.
    pub fn statement(&self, roster: [u8; 32]) -> Result<WaiverStatement, InvalidWaiver> {
        let RawWaiver {
            rule,
            rule_version,
            profile,
            reason,
            not_after,
            ..
        } = self.0.clone();
        let Some(profile) = ProfileName::from_name(&profile) else {
            return Err(InvalidWaiver::Unknown { rule, profile });
        };
        Ok(WaiverStatement {
            roster,
            rule,
            rule_version,
            profile,
            reason,
            not_after: UnixTime(not_after),
        })
    }

    /// The officers whose approvals it carries, as it says.
    pub fn approving(&self) -> impl Iterator<Item = &str> {
        self.0.approval.iter().map(|one| one.officer.as_str())
    }

    /// Adds an officer's signature (raw r || s) over the statement.
    pub fn approve(&mut self, officer: &str, signature: &[u8; 64]) {
        self.0.approval.push(RawApproval {
            officer: officer.to_owned(),
            signature: BASE64URL_NOPAD.encode(signature),
        });
    }
}
