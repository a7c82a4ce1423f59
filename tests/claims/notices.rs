//! Whoever can reach the bank's address does not yet bring money.

use std::fs;

use obol_bank_simulator::BankKey;
use obol_console::unix_now;
use obol_world::{Order, Passenger};

use crate::{
    caller::{Caller, status_and_code},
    stage::{Stage, amounts},
};

const FRESH: u32 = 0;

/// A passenger's open order, and somebody who posts notices about it.
struct Till {
    stage: Stage,
    ada: Passenger,
    order: Order,
    caller: Caller,
    key: BankKey,
}

impl Till {
    fn open() -> Self {
        let stage = Stage::running(&[]);
        let ada = stage.world.passenger("ada");
        ada.enrol().unwrap();
        let order = ada.order("50.00").unwrap();
        let caller = Caller::nobody(&stage.world);
        let pem = fs::read(stage.world.folder().join("bank.key")).unwrap();
        let key = BankKey::from_pem(&pem).unwrap();
        Self {
            stage,
            ada,
            order,
            caller,
            key,
        }
    }

    fn notice(&self, order: &str, amount_minor: i64) -> String {
        self.notice_of("T1", order, amount_minor)
    }

    fn notice_of(&self, transaction: &str, order: &str, amount_minor: i64) -> String {
        let paid_at = unix_now();
        format!(
            r#"{{"transaction":"{transaction}","order":"{order}","amount_minor":{amount_minor},"currency":"CNY","paid_at":{paid_at}}}"#
        )
    }

    fn good(&self) -> String {
        self.notice(&self.order.order, 5_000)
    }

    /// Posts a notice that must be refused; returns its status, code and detail.
    fn refused(&self, body: &str, signature: &str) -> (u16, String, String) {
        let headers = [
            ("Bank-Signature", signature),
            ("Content-Type", "application/json"),
        ];
        let url = &self.order.notify_url;
        let problem = self.caller.refused(url, &headers, Some(body.as_bytes()));
        assert_eq!(amounts(&self.ada), [0; 0], "{problem}");
        let (status, code) = status_and_code(&problem);
        (status, code.to_owned(), problem.detail.clone())
    }

    fn signed(&self, body: &str, seconds_ago: u32) -> String {
        let at = unix_now() - seconds_ago;
        self.key.signature_header(body.as_bytes(), at).unwrap()
    }

    /// Posts a genuine notice, which is answered with success whatever it books.
    fn taken(&self, body: &str) {
        let signature = self.signed(body, FRESH);
        let headers = [
            ("Bank-Signature", signature.as_str()),
            ("Content-Type", "application/json"),
        ];
        let url = &self.order.notify_url;
        let reply = self.caller.send(url, &headers, Some(body.as_bytes()));
        let reply = reply.unwrap();
        let answer = (reply.status.as_u16(), &reply.body[..]);
        assert_eq!(answer, (200, &b"success"[..]));
    }

    /// The payments that match no order, as the platform lists them.
    fn unmatched(&self) -> Vec<String> {
        let list = [
            "receipts",
            "--config",
            "platform.toml",
            "--unmatched",
            "--json",
        ];
        let ran = self.stage.world.tool("obol-platform").succeed(&list);
        ran.unwrap().stdout.lines().map(str::to_owned).collect()
    }

    /// The order is still open: a genuine notice is credited, and only once.
    fn still_pays(&self) {
        let body = self.notice_of("T2", &self.order.order, 5_000);
        for _ in 0..2 {
            self.taken(&body);
            assert_eq!(amounts(&self.ada), [5_000]);
        }
        self.stage.world.check_books().unwrap();
    }
}

#[test]
fn a_notice_with_a_wrong_signature_credits_nothing() {
    let till = Till::open();
    let stranger = BankKey::from_pem(BankKey::generate().unwrap().private.as_bytes()).unwrap();
    let body = till.good();
    let forged = stranger
        .signature_header(body.as_bytes(), unix_now())
        .unwrap();
    let wrong = "the signature does not verify under the bank's key";
    let refused = |detail: &str| (401, "notice-refused".to_owned(), detail.to_owned());
    assert_eq!(till.refused(&body, &forged), refused(wrong));
    // The bank's own signature, of another amount.
    let signature = till.signed(&till.notice(&till.order.order, 1), FRESH);
    assert_eq!(till.refused(&body, &signature), refused(wrong));
    let form = "Bank-Signature is not t=UNIX,v1=BASE64URL of 64 bytes";
    assert_eq!(till.refused(&body, ""), refused(form));
    assert_eq!(till.refused(&body, "t=1,v1=AAAA"), refused(form));
    let log = till.stage.world.log("platform").unwrap();
    assert_eq!(log.matches("a notice was not believed").count(), 4, "{log}");
    till.still_pays();
}

#[test]
fn a_stale_notice_credits_nothing() {
    let till = Till::open();
    let body = till.good();
    let (status, code, detail) = till.refused(&body, &till.signed(&body, 310));
    assert_eq!((status, code.as_str()), (401, "notice-refused"));
    assert!(
        detail.starts_with("signed at ") && detail.ends_with(": more than 300 s apart"),
        "{detail}"
    );
    till.still_pays();
}

#[test]
fn a_genuine_notice_of_another_amount_credits_nothing_and_stays_visible() {
    let till = Till::open();
    for (number, amount) in [4_999, 5_001, 500_000].into_iter().enumerate() {
        let body = till.notice_of(&format!("A{number}"), &till.order.order, amount);
        // The bank repeats itself; the receipt stands once.
        till.taken(&body);
        till.taken(&body);
        assert_eq!(amounts(&till.ada), [0; 0]);
        let listed = till.unmatched();
        assert_eq!(listed.len(), number + 1, "{listed:?}");
        assert!(listed[number].contains(&amount.to_string()), "{listed:?}");
    }
    for amount in [0, -5_000] {
        let body = till.notice(&till.order.order, amount);
        let (status, code, detail) = till.refused(&body, &till.signed(&body, FRESH));
        assert_eq!((status, code.as_str()), (401, "notice-refused"));
        assert_eq!(
            detail,
            format!("not a notice: amount_minor {amount} is not positive")
        );
    }
    till.still_pays();
}

#[test]
fn a_genuine_notice_for_an_unknown_order_credits_nothing_and_stays_visible() {
    let till = Till::open();
    let unknown = "r01-00000000000000000000";
    till.taken(&till.notice(unknown, 5_000));
    assert_eq!(amounts(&till.ada), [0; 0]);
    let listed = till.unmatched();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0].contains(unknown), "{listed:?}");
    till.still_pays();
}

#[test]
fn a_genuine_body_that_is_no_notice_credits_nothing() {
    let till = Till::open();
    let more = till.good().replace("}", r#","bonus_minor":1}"#);
    for body in [more.as_str(), "[]", "", "50.00 for Ada"] {
        let (status, code, detail) = till.refused(body, &till.signed(body, FRESH));
        assert_eq!((status, code.as_str()), (401, "notice-refused"));
        assert!(detail.starts_with("not a notice: "), "{detail}");
    }
    till.still_pays();
}
