//! A terminal that signs its journal with the key of its certificate.

use obol_credential::{Nonce, PRESENTATION_MAX, UnixTime, from_text};
use obol_fare::{Boarding, Zone, price};
use obol_mint::NOW;
use obol_payment::ride::{Epoch, Head, TerminalName};
use obol_platform::App;
use obol_store::Terminal;
use obol_tap::{FareCharged, HEALTH_HEADER, PackId, TapRecord, TerminalKey, UnsignedSegment};
use obol_transport::http::{self, header::CONTENT_TYPE};
use obol_transport::{Bytes, HttpsClient, Peer};
use obol_wallet::HeldCredential;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::DecodePrivateKey;
use serde_json::Value;

use crate::{phone::read, town::Town};

pub(crate) struct Bus {
    client: HttpsClient,
    key: SigningKey,
    url: String,
    name: TerminalName,
    head: Head,
    sent: u64,
    town_packs: obol_fare::FarePack,
    /// The report that goes beside each segment.
    pub(crate) health: Option<String>,
}

impl Bus {
    /// A terminal that is registered.
    pub(crate) fn new(town: &Town, name: &str) -> Self {
        let identity = town.authorities.identity("terminal", name);
        let file = |end: &str| town.folder.path().join(format!("{name}.{end}"));
        let spki = Peer::load(&file("pem")).unwrap().spki;
        let name = TerminalName::new(name).unwrap();
        let terminal = Terminal {
            name: name.clone(),
            spki,
            operator: "metro".into(),
        };
        let books = App::books(&town.config()).unwrap();
        books.register_terminal(&terminal).unwrap();
        let pem = std::fs::read_to_string(file("key")).unwrap();
        Self {
            client: HttpsClient::new(&town.authorities.anchor(), Some(identity)),
            key: SigningKey::from_pkcs8_pem(&pem).unwrap(),
            url: format!("{}/v1/segments", town.terminals),
            head: Head::origin(&name, Epoch([1; 8])),
            name,
            sent: 0,
            town_packs: town.config().fare_pack().unwrap(),
            health: None,
        }
    }

    /// Takes a code of this phone and uploads the tap; the status of the record.
    pub(crate) async fn ride(&mut self, held: &mut HeldCredential) -> Value {
        let nonce = Nonce([self.sent as u8 + 1; 4]);
        let code = held.present(NOW, nonce).unwrap();
        let presentation = from_text(code.text().as_bytes()).unwrap();
        assert!(presentation.len() <= PRESENTATION_MAX);
        let seq = self.sent + 1;
        let record = TapRecord {
            seq,
            accepted_at: NOW,
            terminal: self.name.clone(),
            presentation,
            fare: fare(&self.town_packs, NOW),
            flags: 0,
            zone: Some(0),
        };
        let epoch = Epoch([1; 8]);
        let records = [record.encode()];
        let segment = UnsignedSegment::new(&self.name, epoch, seq, self.head, &records).unwrap();
        (self.head, self.sent) = (self.head.then(&records[0]), seq);
        let public = self.key.verifying_key().to_sec1_point(false);
        let kid = TerminalKey::from_sec1(public.as_bytes()).unwrap().id();
        let signature: Signature = self.key.sign(&segment.signature_input(kid));
        let bytes = Bytes::from(segment.assemble(kid, &signature.to_bytes().into()));
        let mut post = http::Request::post(&self.url).header(CONTENT_TYPE, "application/cbor");
        if let Some(report) = &self.health {
            post = post.header(HEALTH_HEADER, report);
        }
        let reply = self.client.send(post.body(bytes).unwrap()).await;
        let answer = read(&reply.unwrap());
        assert_eq!(answer["watermark"], seq, "{answer}");
        answer["records"][0]["status"].clone()
    }
}

fn fare(pack: &obol_fare::FarePack, at: UnixTime) -> FareCharged {
    let boarding = Boarding {
        class: 1,
        zone: Zone::NONE,
        at,
    };
    let fare = price(pack, boarding).unwrap().fare;
    FareCharged {
        pack_id: PackId(fare.pack_id.0),
        rule: fare.rule.0,
        amount_minor: fare.amount_minor,
    }
}
