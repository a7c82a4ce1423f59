//! The rules in force: profiles, lints, waivers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use obol_credential::UnixTime;

use crate::x509::Certificate;
use crate::x509::anatomy::{BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, Tbs, TbsList};
use crate::x509::der::{self, BIT_STRING, SEQUENCE};
use crate::x509::issuance::Findings;
use crate::x509::lint::{Finding, InvalidLints, Lints, alternative_names_fit};
use crate::x509::profile::{
    ExtendedKeyUsage, InvalidProfile, Profile, ProfileName, Profiles, RULES_FILE_MAX,
};
use crate::x509::waiver::{InvalidWaiver, Officers, Waivers};

const LINTS: &str = "lints.toml";
const PROFILES: &str = "profiles";

/// Profiles and lints, checked as a whole, and the waivers in force.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) profiles: Profiles,
    pub(super) lints: Lints,
    pub(super) waivers: Waivers,
}

/// Why rules were not loaded.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A profile is wrong.
    #[error(transparent)]
    Profile(#[from] InvalidProfile),
    /// The list of lints is wrong.
    #[error(transparent)]
    Lints(#[from] InvalidLints),
}

impl Rules {
    /// The rules that this program was built with: `policies/profiles` and `policies/lints.toml`.
    ///
    /// # Panics
    /// Never: a test reads the same bytes.
    pub fn built_in() -> Rules {
        Rules::from_texts(|name| Ok(built_in_text(name).to_owned()), built_in_lints())
            .expect("the built-in rules are read by a test")
    }

    /// Reads `folder/profiles/*.toml` and `folder/lints.toml`.
    ///
    /// # Errors
    /// [`RulesError`].
    pub fn load(folder: &Path) -> Result<Rules, RulesError> {
        let lints = read(&folder.join(LINTS))?;
        let profile =
            |name: ProfileName| read(&folder.join(PROFILES).join(format!("{}.toml", name.name())));
        Rules::from_texts(profile, &lints)
    }

    fn from_texts(
        profile: impl Fn(ProfileName) -> Result<String, RulesError>,
        lints: &str,
    ) -> Result<Rules, RulesError> {
        Ok(Rules {
            profiles: Profiles::read(profile)?,
            lints: Lints::parse(lints)?,
            waivers: Waivers::default(),
        })
    }

    /// The same rules with the waivers of the file `text` in force, each approved by two of
    /// `officers`.
    ///
    /// # Errors
    /// [`InvalidWaiver`]: for another version of a rule, expired, with too few approvals, or
    /// malformed. None of the file counts then.
    pub fn with_waivers(
        self,
        text: &str,
        officers: &Officers,
        now: UnixTime,
    ) -> Result<Rules, InvalidWaiver> {
        let waivers = Waivers::parse(text, &self.lints, officers, now)?;
        Ok(Rules { waivers, ..self })
    }

    /// The profile that a certificate claims by what makes its kind: CA and path length, the purpose of
    /// credentials, or its one name.
    pub(crate) fn profile_of(&self, tbs: &Tbs<'_>) -> Option<ProfileName> {
        let value = |oid| tbs.extension(oid);
        let fits = |profile: &&Profile| {
            let usages = profile
                .extended_key_usage
                .as_ref()
                .map(ExtendedKeyUsage::der);
            value(BASIC_CONSTRAINTS) == Some(profile.basic_constraints_der().as_slice())
                && value(EXTENDED_KEY_USAGE) == usages.as_deref()
                && alternative_names_fit(tbs, profile).is_ok()
        };
        self.profiles
            .certificates()
            .iter()
            .find(fits)
            .map(|profile| profile.name)
    }

    /// Lints a TBSCertificate as if it were signed; `None` for a root, which is its own issuer.
    pub(crate) fn lint_unsigned(
        &self,
        tbs: &[u8],
        issuer: Option<&Certificate>,
        profile: ProfileName,
        now: UnixTime,
    ) -> Result<(), Findings> {
        let data = self
            .profiles
            .certificates()
            .iter()
            .find(|data| data.name == profile);
        let der = as_if_signed(tbs);
        let findings = data.map_or(Vec::new(), |data| {
            self.lints
                .certificate(&der, issuer.map(Certificate::as_der), data)
        });
        self.refuse(findings, profile, now)
    }

    /// Lints a TBSCertList as if it were signed by `authority`, root or access CA.
    pub(crate) fn lint_unsigned_list(
        &self,
        tbs: &[u8],
        issuer: &Certificate,
        authority: ProfileName,
        now: UnixTime,
    ) -> Result<(), Findings> {
        let crl = &self.profiles.crl;
        let days = match authority {
            ProfileName::Root => crl.root_days,
            _ => crl.access_ca_days,
        };
        let findings = self
            .lints
            .list(&as_if_signed(tbs), issuer.as_der(), crl, days);
        self.refuse(findings, ProfileName::Crl, now)
    }

    fn refuse(
        &self,
        findings: Vec<Finding>,
        profile: ProfileName,
        now: UnixTime,
    ) -> Result<(), Findings> {
        match self.unwaived(findings, profile, now) {
            none if none.is_empty() => Ok(()),
            some => Err(Findings(some)),
        }
    }

    /// The findings that no waiver covers at `now`.
    pub(super) fn unwaived(
        &self,
        findings: Vec<Finding>,
        profile: ProfileName,
        now: UnixTime,
    ) -> Vec<Finding> {
        let covered = |finding: &Finding| self.waivers.covers(finding, profile, now);
        findings
            .into_iter()
            .filter(|finding| !covered(finding))
            .collect()
    }
}

/// The structure with the algorithm it names and a signature of no bits. Rules never look at the
/// signature.
fn as_if_signed(tbs: &[u8]) -> Vec<u8> {
    let of_certificate = Tbs::read(tbs).map(|tbs| tbs.algorithm);
    let algorithm = of_certificate.or_else(|_| TbsList::read(tbs).map(|list| list.algorithm));
    let signature = der::element(BIT_STRING, &[&[0]]);
    der::element(SEQUENCE, &[tbs, algorithm.unwrap_or(&[]), &signature])
}

fn read(path: &Path) -> Result<String, RulesError> {
    let unreadable = |source| RulesError::Read {
        path: path.to_owned(),
        source,
    };
    let length = path.metadata().map_err(unreadable)?.len();
    if length > RULES_FILE_MAX as u64 {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 KiB");
        return Err(unreadable(error));
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn built_in_lints() -> &'static str {
    include_str!("../../../policies/lints.toml")
}

fn built_in_text(name: ProfileName) -> &'static str {
    match name {
        ProfileName::Root => include_str!("../../../policies/profiles/root.toml"),
        ProfileName::AccessCa => include_str!("../../../policies/profiles/access-ca.toml"),
        ProfileName::Issuer => include_str!("../../../policies/profiles/issuer.toml"),
        ProfileName::Server => include_str!("../../../policies/profiles/server.toml"),
        ProfileName::Client => include_str!("../../../policies/profiles/client.toml"),
        ProfileName::Terminal => include_str!("../../../policies/profiles/terminal.toml"),
        ProfileName::Crl => include_str!("../../../policies/profiles/crl.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::CertificateError;
    use crate::x509::fixture::House;
    use crate::x509::profile::CertificateProfile;

    fn policies() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"))
    }

    /// Built-in rules but for one profile, whose text is changed.
    fn with_profile(changed: ProfileName, from: &str, to: &str) -> Result<Rules, RulesError> {
        let text = built_in_text(changed);
        assert!(text.contains(from), "{from}");
        let file = |name| {
            let text = built_in_text(name);
            Ok(if name == changed {
                text.replacen(from, to, 1)
            } else {
                text.to_owned()
            })
        };
        Rules::from_texts(file, built_in_lints())
    }

    fn fault(changed: ProfileName, from: &str, to: &str) -> String {
        match with_profile(changed, from, to).unwrap_err() {
            RulesError::Profile(error) => error.fault,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_built_in_rules_are_the_committed_ones_and_each_names_a_section_that_exists() {
        let loaded = Rules::load(policies()).unwrap();
        assert_eq!(loaded.profiles, Rules::built_in().profiles);
        for name in ProfileName::ALL {
            let line = built_in_text(name)
                .lines()
                .find(|l| l.starts_with("policy_reference"));
            let reference = line.and_then(|line| line.split('"').nth(1)).unwrap();
            let (file, section) = reference.split_once('#').unwrap();
            let text = fs::read_to_string(policies().join("..").join(file)).unwrap();
            let heading = format!("\n## {}\n", section.replace('-', " "));
            assert!(text.to_lowercase().contains(&heading), "{reference}");
        }
    }

    #[test]
    fn a_profile_without_a_policy_reference_is_refused() {
        let reference = "policy_reference = \"docs/certificate-policy.md#root\"\n";
        let missing = fault(ProfileName::Root, reference, "");
        assert!(
            missing.contains("missing field `policy_reference`"),
            "{missing}"
        );
        let empty = fault(ProfileName::Root, reference, "policy_reference = \"\"\n");
        assert_eq!(empty, "policy_reference \"\" names no document");
    }

    #[test]
    fn a_profile_is_read_strictly() {
        let unknown = fault(ProfileName::Server, "days_max", "days_most");
        assert!(unknown.contains("unknown field `days_most`"), "{unknown}");
        assert_eq!(
            fault(ProfileName::Root, "days_max = 7305", "days_max = 7306"),
            "days_max is not 1 to 7305"
        );
        let reason = fault(ProfileName::Crl, "superseded", "certificateHold");
        assert_eq!(
            reason,
            "\"certificateHold\" is no reason that a list here may give"
        );
        let days = fault(ProfileName::Crl, "access-ca = 8", "access-ca = 0");
        assert_eq!(days, "next_update_days 0 is not 1 to 3650");
    }

    #[test]
    fn no_file_makes_a_ca_of_an_identity_or_an_issuer_of_a_server() {
        for (profile, from, to) in [
            (ProfileName::Server, "[names]", "[ca]\n[names]"),
            (
                ProfileName::Server,
                "\"digitalSignature\"",
                "\"keyCertSign\"",
            ),
            (
                ProfileName::Server,
                "\"serverAuth\"",
                "\"credentialIssuer\"",
            ),
            (ProfileName::Server, "\"access-ca\"", "\"root\""),
            (ProfileName::Issuer, "critical = true", "critical = false"),
            (ProfileName::Issuer, "[scope]", ""),
            (
                ProfileName::Issuer,
                "\"credentialIssuer\"",
                "\"credentialIssuer\", \"clientAuth\"",
            ),
            (ProfileName::AccessCa, "path_length = 0", "path_length = 1"),
            (ProfileName::AccessCa, "[ca]\npath_length = 0", ""),
            (ProfileName::Root, "\"self\"", "\"root\""),
        ] {
            let refused = with_profile(profile, from, to);
            assert!(matches!(refused, Err(RulesError::Profile(_))), "{to}");
        }
    }

    #[test]
    fn what_is_issued_follows_the_profile_and_not_the_code() {
        let house = House::new();
        let stricter =
            with_profile(ProfileName::Server, "days_max = 366", "days_max = 29").unwrap();
        let refused = house
            .issue(&stricter, CertificateProfile::Server)
            .unwrap_err();
        let CertificateError::Lint(findings) = refused else {
            panic!("{refused}")
        };
        assert_eq!(findings.0[0].rule, "validity-within-profile");
        assert_eq!(house.access_key.signatures(), 0);

        let from = "purposes = [\"serverAuth\", \"clientAuth\"]";
        let narrower =
            with_profile(ProfileName::Server, from, "purposes = [\"serverAuth\"]").unwrap();
        let server = house.issue(&narrower, CertificateProfile::Server).unwrap();
        let x509 = server.parse().unwrap();
        let purposes = x509.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth);
    }
}
