//! HTTP/2 as no client of ours speaks it: each flood ends in the connection's end, costs nobody
//! else anything, and leaves no memory behind.

use obol_transport::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::raw::{PATIENCE, Raw};
use crate::world::{Leaf, World};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// What a flood may send before it must have been stopped.
const FLOOD_MAX: usize = 64 * 1024 * 1024;

/// A frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// HPACK without compression: GET https://localhost/healthz.
pub(crate) fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, 8];
    block.extend(b"/healthz");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block
}

/// A literal header that no table keeps.
pub(crate) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x00, u8::try_from(name.len()).unwrap()];
    block.extend(name.as_bytes());
    // A length in HPACK's 7-bit prefix (RFC 7541 section 5.1).
    let mut rest = value.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(value);
    block
}

pub(crate) struct Target {
    pub(crate) world: World,
    base: String,
    leaf: Leaf,
}

impl Target {
    pub(crate) async fn new() -> Target {
        Target::within(Limits::default()).await
    }

    pub(crate) async fn within(limits: Limits) -> Target {
        let world = World::new();
        let (platform, leaf) = world.platform_leaf();
        let config = world.config(&[("obol://platform/main", &platform)]);
        let base = world.start_within(limits, config).await;
        Target { world, base, leaf }
    }

    pub(crate) async fn connect(&self) -> Raw {
        self.connect_with(&[]).await
    }

    pub(crate) async fn connect_with(&self, settings: &[u8]) -> Raw {
        let mut raw = Raw::connect(&self.world, &self.base, Some(&self.leaf), "h2").await;
        let opening = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        raw.0.write_all(&opening).await.unwrap();
        raw
    }

    /// Sends what `next` makes until the server hangs up; how much that was, and what it said.
    async fn flood(&self, mut next: impl FnMut(u32) -> Vec<u8>) -> (usize, Vec<u8>) {
        let raw = self.connect().await;
        let (mut reader, mut writer) = tokio::io::split(raw.0);
        let reading = tokio::spawn(async move {
            let mut said = Vec::new();
            reader.read_to_end(&mut said).await.ok();
            said
        });
        let mut sent = 0;
        let flooding = async {
            for number in 0.. {
                let bytes = next(number);
                sent += bytes.len();
                if sent > FLOOD_MAX || writer.write_all(&bytes).await.is_err() {
                    break;
                }
                if reading.is_finished() {
                    break;
                }
            }
        };
        timeout(PATIENCE, flooding).await.expect("the flood ends");
        drop(writer);
        let said = timeout(PATIENCE, reading).await.expect("closed").unwrap();
        (sent, said)
    }

    pub(crate) async fn still_serves(&self) {
        let mut raw = self.connect().await;
        let ask = frame(HEADERS, END_STREAM | END_HEADERS, 1, &get());
        raw.0.write_all(&ask).await.unwrap();
        let mut said = Vec::new();
        let answered = async {
            let mut chunk = [0; 1024];
            while !frames(&said).contains(&HEADERS) {
                let read = raw.0.read(&mut chunk).await.unwrap();
                assert_ne!(read, 0, "closed: {said:?}");
                said.extend(&chunk[..read]);
            }
        };
        timeout(PATIENCE, answered).await.expect("an answer");
    }
}

pub(crate) fn frames(bytes: &[u8]) -> Vec<u8> {
    whole_frames(bytes).iter().map(|(kind, ..)| *kind).collect()
}

/// Type, stream and payload of each.
pub(crate) fn whole_frames(mut bytes: &[u8]) -> Vec<(u8, u32, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, kind, _, w, x, y, z, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, more) = rest.split_at(length.min(rest.len()));
        found.push((*kind, u32::from_be_bytes([*w, *x, *y, *z]), payload));
        bytes = more;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let target = Target::new().await;
    let (sent, said) = target
        .flood(|number| {
            let stream = 2 * number + 1;
            let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get());
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [open, reset].concat()
        })
        .await;
    assert!(sent < FLOOD_MAX, "never stopped");
    assert!(frames(&said).contains(&GOAWAY), "{:?}", frames(&said));
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_continued_for_ever_ends_the_connection() {
    let target = Target::new().await;
    let (sent, said) = target
        .flood(|number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &get()),
            _ => frame(CONTINUATION, 0, 1, &header("x-a", &[b'a'; 1000])),
        })
        .await;
    // Far less was read: the rest filled the buffers of two sockets.
    assert!(sent < FLOOD_MAX / 4, "{sent} bytes were sent");
    assert!(frames(&said).contains(&GOAWAY), "{:?}", frames(&said));
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_list_beyond_the_limit_is_refused_and_its_connection_goes_on() {
    let target = Target::new().await;
    let mut raw = target.connect().await;
    let mut block = get();
    for _ in 0..15 {
        block.extend(header("x-a", &[b'a'; 1100]));
    }
    let (first, second) = block.split_at(8_000);
    let big = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, &get()),
    ];
    // A byte over 16 KiB with what each header counts besides (RFC 9113 section 6.5.2).
    assert!(block.len() + 15 * 32 > 16 * 1024 && second.len() < 16_000);
    raw.0.write_all(&big.concat()).await.unwrap();
    let mut said = Vec::new();
    let answered = async {
        let mut chunk = [0; 1024];
        while frames(&said)
            .iter()
            .filter(|kind| **kind == HEADERS)
            .count()
            < 2
        {
            let read = raw.0.read(&mut chunk).await.unwrap();
            assert_ne!(read, 0, "closed: {said:?}");
            said.extend(&chunk[..read]);
        }
    };
    timeout(PATIENCE, answered)
        .await
        .expect("both are answered");
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_were_offered_are_refused() {
    let target = Target::new().await;
    let mut raw = target.connect().await;
    // Without END_STREAM: each is open and waits for a body that does not come.
    let open: Vec<u8> = (0..200)
        .flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &get()))
        .collect();
    raw.0.write_all(&open).await.unwrap();
    let mut said = Vec::new();
    let refused = async {
        let mut chunk = [0; 1024];
        loop {
            let types = frames(&said);
            if types.contains(&RST_STREAM) || types.contains(&GOAWAY) {
                return;
            }
            match raw.0.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(read) => said.extend(&chunk[..read]),
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("refused");
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_without_end_are_bounded() {
    let target = Target::new().await;
    for (kind, payload) in [(PING, &[1; 8][..]), (SETTINGS, &[0, 3, 0, 0, 0, 9][..])] {
        // Nobody reads the acknowledgements: the server must not keep them all.
        let mut raw = target.connect().await;
        let many: Vec<u8> = (0..1000).flat_map(|_| frame(kind, 0, 0, payload)).collect();
        let mut sent = 0;
        let flooding = async {
            while sent < FLOOD_MAX && raw.0.write_all(&many).await.is_ok() {
                sent += many.len();
            }
        };
        // It stops reading, or closes: either way not everything goes through.
        let stopped = timeout(std::time::Duration::from_secs(5), flooding).await;
        assert!(
            stopped.is_err() || sent < FLOOD_MAX,
            "{sent} bytes were taken"
        );
        target.still_serves().await;
    }
}
