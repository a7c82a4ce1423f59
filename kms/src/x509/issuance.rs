//! How anything of X.509 is signed here: rehearse, lint, sign, compare, lint again.

use crate::public_key::PublicKey;
use crate::x509::CertificateError;
use crate::x509::anatomy::Signed;
use crate::x509::lint::Finding;
use crate::x509::pen::{Desk, Pen, Throwaway};

/// Has `build` make the signed structure twice, with the same public key: first signed by a throwaway
/// key, and only if `lint` finds nothing in that, by the authority's. The two must not differ in a
/// byte of what is signed.
pub(super) fn issue(
    public: &PublicKey,
    desk: &dyn Desk,
    build: impl Fn(&Pen<'_>) -> Result<Vec<u8>, rcgen::Error>,
    lint: impl Fn(&[u8]) -> Vec<Finding>,
) -> Result<Vec<u8>, CertificateError> {
    let build = |pen: Pen<'_>| build(&pen).map_err(|error| pen.explain(error));
    let throwaway = Throwaway::like(public, desk)?;
    let rehearsal = build(Pen::new(public, &|message| Ok(throwaway.sign(message))))?;
    none_found(lint(&rehearsal), CertificateError::Lint)?;
    let issued = build(Pen::new(public, &|message| desk.sign(message)))?;
    if signed_bytes(&rehearsal)? != signed_bytes(&issued)? {
        return Err(CertificateError::NotAsRehearsed);
    }
    none_found(lint(&issued), CertificateError::LintAfterwards)?;
    Ok(issued)
}

fn none_found(
    findings: Vec<Finding>,
    error: impl Fn(Findings) -> CertificateError,
) -> Result<(), CertificateError> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(error(Findings(findings)))
}

/// The rules that were broken; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let findings: Vec<_> = self.0.iter().map(Finding::to_string).collect();
        f.write_str(&findings.join("; "))
    }
}

fn signed_bytes(der: &[u8]) -> Result<&[u8], CertificateError> {
    let signed =
        Signed::read(der).map_err(|fault| CertificateError::Encoding(fault.to_string()))?;
    Ok(signed.tbs)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::x509::fixture::{MemoryDesk, root_params};

    fn finding() -> Vec<Finding> {
        vec![Finding {
            rule: "version-3",
            version: 1,
            clause: "a clause".to_owned(),
            fault: "a fault".to_owned(),
        }]
    }

    fn build(pen: &Pen<'_>) -> Result<Vec<u8>, rcgen::Error> {
        Ok(root_params().self_signed(pen)?.der().to_vec())
    }

    #[test]
    fn a_failed_lint_blocks_before_the_key_signs() {
        let desk = MemoryDesk::new(1);
        let refused = issue(desk.public(), &desk, build, |_| finding()).unwrap_err();
        assert!(matches!(refused, CertificateError::Lint(_)));
        assert_eq!(desk.signatures(), 0);
        assert_eq!(
            refused.to_string(),
            "nothing was signed, because rules are broken: version-3 (version 1, a clause): a fault"
        );
    }

    #[test]
    fn a_lint_that_fails_after_issuance_gives_no_certificate() {
        let desk = MemoryDesk::new(1);
        let runs = Cell::new(0);
        let second_time = |_: &[u8]| {
            runs.set(runs.get() + 1);
            if runs.get() == 2 {
                finding()
            } else {
                Vec::new()
            }
        };
        let refused = issue(desk.public(), &desk, build, second_time).unwrap_err();
        assert!(matches!(refused, CertificateError::LintAfterwards(_)));
        assert_eq!(desk.signatures(), 1);
    }

    #[test]
    fn bytes_that_differ_from_the_rehearsal_give_no_certificate() {
        let desk = MemoryDesk::new(1);
        let runs = Cell::new(0u8);
        let changing = |pen: &Pen<'_>| {
            runs.set(runs.get() + 1);
            let mut params = root_params();
            params.serial_number = Some(vec![0x40 + runs.get(); 20].into());
            Ok(params.self_signed(pen)?.der().to_vec())
        };
        let refused = issue(desk.public(), &desk, changing, |_| Vec::new()).unwrap_err();
        assert!(matches!(refused, CertificateError::NotAsRehearsed));
    }

    #[test]
    fn the_rehearsal_is_signed_by_a_key_that_is_not_the_authoritys() {
        use p384::ecdsa::signature::Verifier;
        let desk = MemoryDesk::new(1);
        let drafts = std::cell::RefCell::new(Vec::new());
        let record = |der: &[u8]| {
            drafts.borrow_mut().push(der.to_vec());
            Vec::new()
        };
        let issued = issue(desk.public(), &desk, build, record).unwrap();
        let drafts = drafts.into_inner();
        assert_eq!(drafts[1], issued);
        let holds = |der: &[u8]| {
            let (_, x509) = x509_parser::parse_x509_certificate(der).unwrap();
            let signature = p384::ecdsa::Signature::from_der(&x509.signature_value.data).unwrap();
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(desk.public().as_sec1()).unwrap();
            key.verify(signed_bytes(der).unwrap(), &signature).is_ok()
        };
        assert_eq!((holds(&drafts[0]), holds(&drafts[1])), (false, true));
    }
}
