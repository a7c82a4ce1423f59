//! Configurations of services and terminals, and what services answer each other.

use std::path::Path;

use obol_pos_sdk::Provisioning;
use obol_transport::{Bytes, Problem, Reply, http::HeaderMap, http::StatusCode};

use crate::Taken;
use crate::files::with_file;

pub(crate) fn problem_document(data: &[u8]) -> Taken {
    let reply = Reply {
        date: None,
        headers: HeaderMap::new(),
        status: StatusCode::BAD_REQUEST,
        content_type: "application/problem+json".to_owned(),
        body: Bytes::copy_from_slice(data),
    };
    let problem = Problem::from_reply(&reply);
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    match problem.code.as_ref() {
        "unexpected-reply" => Taken::Refused,
        _ => Taken::Accepted,
    }
}

/// What EST's `simpleenroll` takes (RFC 7030 section 4.2.1), out of its base64: a PKCS#10.
pub(crate) fn enrolment_request(data: &[u8]) -> Taken {
    let parsed = obol_issuer::EnrolmentRequest::parse(data);
    if let Ok(request) = &parsed {
        assert!(request.identity().starts_with("obol://"));
        assert_eq!((request.point().len(), request.point()[0]), (65, 4));
    }
    parsed.into()
}

/// What EST answers (RFC 7030 section 4.1.3), out of its base64: a certs-only CMS.
pub(crate) fn enrolment_answer(data: &[u8]) -> Taken {
    let certificate = obol_transport::certificate_of(data);
    if let Some(certificate) = certificate {
        assert!(
            data.windows(certificate.len())
                .any(|part| part == certificate)
        );
        assert_eq!(certificate[0], 0x30);
    }
    if let Some(all) = obol_transport::certificates_of(data) {
        assert!((1..=obol_transport::ANCHORS_MAX).contains(&all.len()));
        assert_eq!(certificate.is_some(), all.len() == 1);
    }
    certificate.into()
}

/// The same as its body comes over HTTP: in base64, in lines.
pub(crate) fn enrolment_body(data: &[u8]) -> Taken {
    obol_issuer::fuzzing::enrolment_body(data).into()
}

/// Requests for credentials, as JSON.
pub(crate) fn credential_batch(data: &[u8]) -> Taken {
    let requests = obol_issuer::fuzzing::credential_batch(data);
    requests.filter(|count| *count > 0).into()
}

/// What an issuer denies, for the one that publishes: a line for each list.
pub(crate) fn denied_lists(data: &[u8]) -> Taken {
    obol_issuer::fuzzing::denied_lists(data).into()
}

pub(crate) fn issuer_config(data: &[u8]) -> Taken {
    const TEMPLATES: &str = include_str!("../../policies/credentials/metro.toml");
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    obol_issuer::Config::parse(text, TEMPLATES, Path::new("folder")).into()
}

pub(crate) fn platform_config(data: &[u8]) -> Taken {
    with_file("platform.toml", data, |path| {
        obol_platform::Config::load(path).into()
    })
}

pub(crate) fn terminal_invitation(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    obol_pos_sdk::Invitation::parse(text).into()
}

pub(crate) fn terminal_provisioning(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    Provisioning::parse(text, Path::new("folder")).into()
}
