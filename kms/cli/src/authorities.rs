//! Keys of the hierarchy, generated in their tokens and certified.

use obol_console::{FileError, Outcome, unix_now};
use obol_credential::UnixTime;
use obol_kms::x509::{Certificate, CertificateError, RootCa, Scope, Validity};
use obol_kms::{Curve, Key, Token};
use serde::Serialize;

use crate::arguments::{
    CreateAccessCa, CreateIssuer, CreateRoot, CurveName, NewCertificate, UnderRoot,
};
use crate::failure::Failure;
use crate::output::{must_be_free, print_json, read_certificate, write_certificate};
use crate::tokens::Modules;

pub(crate) fn create_root(arguments: &CreateRoot) -> Result<Outcome, Failure> {
    let CreateRoot { token, new, days } = arguments;
    must_be_free(&new.out)?;
    let rules = new.waived.rules()?;
    let validity = Validity::days(UnixTime(unix_now()), *days)?;
    let token = Modules::default().open(token)?;
    let names = Names::of(new, "Obol Root CA", "root");
    generate_and_certify(&token, Curve::P384, new, &names, |key| {
        RootCa::create_by(&rules, &token, key, &names.common_name, validity)
    })
}

pub(crate) fn create_access_ca(arguments: &CreateAccessCa) -> Result<Outcome, Failure> {
    let CreateAccessCa {
        under,
        token,
        new,
        days,
    } = arguments;
    must_be_free(&new.out)?;
    let rules = new.waived.rules()?;
    let validity = Validity::days(UnixTime(unix_now()), *days)?;
    let (root_token, root_certificate, token) = open(under, token)?;
    let root = RootCa::open(&root_token, root_certificate)?.with_rules(rules);
    let names = Names::of(new, "Obol Access CA", "access");
    generate_and_certify(&token, Curve::P384, new, &names, |key| {
        root.issue_access_ca(key.public(), &names.common_name, validity)
    })
}

pub(crate) fn create_issuer(arguments: &CreateIssuer) -> Result<Outcome, Failure> {
    let CreateIssuer {
        under,
        token,
        operator,
        classes,
        curve,
        new,
        days,
    } = arguments;
    must_be_free(&new.out)?;
    let rules = new.waived.rules()?;
    let validity = Validity::days(UnixTime(unix_now()), *days)?;
    let scope = Scope::new(operator, classes)?;
    let curve = match curve {
        CurveName::P256 => Curve::P256,
        CurveName::P384 => Curve::P384,
    };
    let (root_token, root_certificate, token) = open(under, token)?;
    let root = RootCa::open(&root_token, root_certificate)?.with_rules(rules);
    let names = Names::of(
        new,
        &format!("Obol Issuer {operator}"),
        &format!("issuer-{operator}"),
    );
    generate_and_certify(&token, curve, new, &names, |key| {
        root.issue_issuer(key.public(), &names.common_name, &scope, validity)
    })
}

/// A new key and its certificate, as they are printed.
#[derive(Serialize)]
struct Made {
    spki: String,
    curve: String,
    label: String,
    certificate: String,
}

struct Names {
    common_name: String,
    key_label: String,
}

impl Names {
    fn of(new: &NewCertificate, common_name: &str, key_label: &str) -> Names {
        Names {
            common_name: new
                .common_name
                .clone()
                .unwrap_or_else(|| common_name.to_owned()),
            key_label: new
                .key_label
                .clone()
                .unwrap_or_else(|| key_label.to_owned()),
        }
    }
}

fn open(
    under: &UnderRoot,
    token: &std::path::Path,
) -> Result<(Token, Certificate, Token), Failure> {
    let mut modules = Modules::default();
    let root_certificate = read_certificate(&under.root)?;
    let root_token = modules.open(&under.root_token)?;
    Ok((root_token, root_certificate, modules.open(token)?))
}

/// A key whose certificate cannot be made or written is discarded: the command can be run again.
fn generate_and_certify(
    token: &Token,
    curve: Curve,
    new: &NewCertificate,
    names: &Names,
    certify: impl FnOnce(&Key) -> Result<Certificate, CertificateError>,
) -> Result<Outcome, Failure> {
    let key = token.generate(curve, &names.key_label)?;
    let id = key.id();
    let written = certify(&key)
        .map_err(Failure::from)
        .map(|certificate| write_certificate(&new.out, &certificate));
    match written {
        Ok(Ok(())) => {}
        // The certificate is there: without its key it would name nobody.
        Ok(Err(error @ FileError::NotDurable { .. })) => return Err(error.into()),
        Ok(Err(error)) => {
            token.discard(key)?;
            return Err(error.into());
        }
        Err(failure) => {
            token.discard(key)?;
            return Err(failure);
        }
    }
    let made = Made {
        spki: id.to_string(),
        curve: curve.to_string(),
        label: names.key_label.clone(),
        certificate: new.out.display().to_string(),
    };
    if new.json {
        return print_json(&made);
    }
    let Made {
        label, certificate, ..
    } = made;
    println!("{id} {curve} {label} {certificate}");
    Ok(Outcome::Done)
}
