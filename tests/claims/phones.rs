//! Requests that do not prove the enrolled key, or prove it a second time.

use obol_console::unix_now;
use obol_credential::UnixTime;
use obol_wallet::{Key, Request, proof};

use crate::{
    caller::{Caller, status_and_code},
    stage::Stage,
};

const JTI: [u8; 16] = *b"only-once-please";

/// A phone that is not `obol-wallet`.
struct Phone {
    stage: Stage,
    caller: Caller,
    key: Key,
    base: String,
}

impl Phone {
    fn new() -> Self {
        let stage = Stage::running(&[]);
        let base = format!("https://localhost:{}", stage.world.ports.passengers);
        Self {
            caller: Caller::nobody(&stage.world),
            key: Key::generate().unwrap(),
            stage,
            base,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn proof(&self, method: &str, path: &str, body: &[u8], jti: &[u8; 16]) -> String {
        let url = self.url(path);
        let request = Request {
            method,
            url: &url,
            body,
        };
        proof(&self.key, &request, UnixTime(unix_now()), jti)
    }

    /// Enrols with this proof; returns the status.
    fn enrol(&self, proof: &str) -> u16 {
        let reply = self
            .caller
            .send(&self.url("/v1/passengers"), &[("DPoP", proof)], Some(b"{}"));
        reply.unwrap().status.as_u16()
    }

    fn unproven(&self, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> String {
        let problem = self.caller.refused(&self.url(path), headers, body);
        assert_eq!(
            status_and_code(&problem),
            (401, "proof-refused"),
            "{problem}"
        );
        problem.detail
    }
}

#[test]
fn a_replayed_proof_is_refused() {
    let phone = Phone::new();
    let used = phone.proof("POST", "/v1/passengers", b"{}", &JTI);
    assert_eq!(phone.enrol(&used), 201);
    let detail = phone.unproven("/v1/passengers", &[("DPoP", &used)], Some(b"{}"));
    assert_eq!(detail, "proof \"b25seS1vbmNlLXBsZWFzZQ\" was used before");
    // A fresh proof of the same key finds the account again.
    let fresh = phone.proof("POST", "/v1/passengers", b"{}", &[7; 16]);
    assert_eq!(phone.enrol(&fresh), 200);
}

#[test]
fn a_proof_is_remembered_over_a_restart() {
    let mut phone = Phone::new();
    let used = phone.proof("POST", "/v1/passengers", b"{}", &JTI);
    assert_eq!(phone.enrol(&used), 201);
    phone.stage.world.kill("platform").unwrap();
    phone.stage.world.start_platform().unwrap();
    phone.caller = Caller::nobody(&phone.stage.world);
    let detail = phone.unproven("/v1/passengers", &[("DPoP", &used)], Some(b"{}"));
    assert_eq!(detail, "proof \"b25seS1vbmNlLXBsZWFzZQ\" was used before");
}

#[test]
fn a_proof_of_another_request_is_refused() {
    let phone = Phone::new();
    let enrol = phone.proof("POST", "/v1/passengers", b"{}", &[1; 16]);
    assert_eq!(phone.enrol(&enrol), 201);
    let none = "the request carries no DPoP header, or more than one";
    assert_eq!(phone.unproven("/v1/statement", &[], None), none);
    let twice = [("DPoP", enrol.as_str()), ("DPoP", enrol.as_str())];
    assert_eq!(phone.unproven("/v1/statement", &twice, None), none);

    let recharge =
        |amount: u32| format!(r#"{{"amount_minor":{amount},"channel":"simulated-bank"}}"#);
    let cheap = phone.proof("POST", "/v1/recharges", recharge(100).as_bytes(), &[2; 16]);
    let dear = recharge(100_000);
    let detail = phone.unproven("/v1/recharges", &[("DPoP", &cheap)], Some(dear.as_bytes()));
    assert!(
        detail.starts_with("the proof binds another body: bdh "),
        "{detail}"
    );
    let detail = phone.unproven("/v1/statement", &[("DPoP", &cheap)], None);
    assert_eq!(detail, "the proof is for method \"POST\"");
    let elsewhere = phone.proof("GET", "/v1/elsewhere", b"", &[3; 16]);
    let detail = phone.unproven("/v1/statement", &[("DPoP", &elsewhere)], None);
    let (found, expected) = (phone.url("/v1/elsewhere"), phone.url("/v1/statement"));
    assert_eq!(
        detail,
        format!("the proof is for {found:?}, the request went to {expected:?}")
    );
}

#[test]
fn a_key_that_is_not_enrolled_is_told_to_enrol() {
    let phone = Phone::new();
    let proof = phone.proof("GET", "/v1/statement", b"", &JTI);
    let problem = phone
        .caller
        .refused(&phone.url("/v1/statement"), &[("DPoP", &proof)], None);
    assert_eq!(status_and_code(&problem), (403, "key-not-enrolled"));
    assert_eq!(
        problem.detail,
        "enrol first: POST /v1/passengers with the same key"
    );
}

#[test]
fn a_phone_without_money_gets_no_credential() {
    let stage = Stage::running(&[]);
    let ada = stage.world.passenger("ada");
    ada.enrol().unwrap();
    let (error, _) = crate::stage::two_lines(&ada.run(&["refresh"]).unwrap(), 1);
    let said = "the platform refused: The balance is too low (balance-too-low): ";
    assert!(error.starts_with(said), "{error}");
}
