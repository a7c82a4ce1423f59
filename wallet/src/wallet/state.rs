//! What stands in wallet.json.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::held::HeldCredential;
use crate::key::Key;
use crate::platform::Passenger;

const VERSION: u32 = 1;

#[derive(Debug)]
pub(super) struct State {
    pub(super) platform: String,
    pub(super) enrolled_key: Key,
    pub(super) passenger: Option<Passenger>,
    pub(super) credential: Option<HeldCredential>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    version: u32,
    platform: String,
    enrolled_key: Key,
    passenger: Option<Passenger>,
    credential: Option<RawHeld>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeld {
    /// base64url without padding.
    bytes: String,
    device_key: Key,
    counter: u32,
}

impl State {
    pub(super) fn new(platform: &str, enrolled_key: Key) -> Self {
        let platform = platform.to_owned();
        Self {
            platform,
            enrolled_key,
            passenger: None,
            credential: None,
        }
    }

    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let raw: RawState = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if raw.version != VERSION {
            return Err(format!("version {} instead of {VERSION}", raw.version));
        }
        Ok(Self {
            platform: raw.platform,
            enrolled_key: raw.enrolled_key,
            passenger: raw.passenger,
            credential: raw.credential.map(RawHeld::check).transpose()?,
        })
    }

    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let raw = RawState {
            version: VERSION,
            platform: self.platform.clone(),
            enrolled_key: self.enrolled_key.clone(),
            passenger: self.passenger.clone(),
            credential: self.credential.as_ref().map(RawHeld::of),
        };
        Zeroizing::new(serde_json::to_vec_pretty(&raw).expect("strings and numbers are JSON"))
    }
}

impl RawHeld {
    fn of(held: &HeldCredential) -> Self {
        Self {
            bytes: BASE64URL_NOPAD.encode(held.bytes()),
            device_key: held.device_key().clone(),
            counter: held.counter(),
        }
    }

    fn check(self) -> Result<HeldCredential, String> {
        let bytes = BASE64URL_NOPAD.decode(self.bytes.as_bytes());
        let bytes = bytes.map_err(|error| format!("credential: {error}"))?;
        HeldCredential::resume(bytes, self.device_key, self.counter)
            .map_err(|error| error.to_string())
    }
}
