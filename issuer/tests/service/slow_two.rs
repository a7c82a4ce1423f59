//! HTTP/2 from who is slow, takes no answer, or contradicts himself: the stream or the connection
//! ends, and nobody else notices.

use std::time::{Duration, Instant};

use obol_transport::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::hostile_two::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Target, frame,
    frames, get, header, whole_frames,
};
use crate::raw::{PATIENCE, Raw};

const DATA: u8 = 0;
/// SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 section 6.5.2): no stream may answer with a byte of body.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// HPACK without compression: a POST of JSON to /v1/credentials, with more headers.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x04, 15];
    block.extend(b"/v1/credentials");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block.extend(header("content-type", b"application/json"));
    for (name, value) in more {
        block.extend(header(name, value.as_bytes()));
    }
    block
}

/// Sends `drop` again and again until the server hangs up, or has said what `enough` waits for.
async fn drip(raw: Raw, drop: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(raw.0);
    let mut said = Vec::new();
    let dripping = async {
        let mut chunk = [0; 4096];
        while !enough(&said) {
            match timeout(Duration::from_millis(20), reader.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(read)) => said.extend(&chunk[..read]),
                Err(_) if writer.write_all(drop).await.is_err() => break,
                Err(_) => {}
            }
        }
    };
    timeout(PATIENCE, dripping).await.expect("cut off");
    said
}

/// Long enough for a handshake and an answer on a busy machine, and short for a test.
const SHORT: Duration = Duration::from_secs(5);

fn short() -> Limits {
    Limits {
        idle: SHORT,
        request: SHORT,
        answer: SHORT,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_trickles_in_loses_its_connection_and_delays_nobody() {
    let target = Target::within(short()).await;
    let begun = Instant::now();
    // One frame whose bytes come one by one: half of a header's name.
    let mut raw = target.connect().await;
    let block = [get(), vec![0x00, 126]].concat();
    let whole = frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &[block, vec![b'a'; 4000]].concat(),
    );
    raw.0.write_all(&whole[..60]).await.unwrap();
    // A block whose rest never comes.
    let mut silent = target.connect().await;
    silent
        .0
        .write_all(&frame(HEADERS, END_STREAM, 1, &get()))
        .await
        .unwrap();
    let (dripped, silence, ()) = tokio::join!(
        drip(raw, b"a", |_| false),
        drip(silent, b"", |_| false),
        target.still_serves()
    );
    assert!(begun.elapsed() >= SHORT, "they had their time");
    for said in [dripped, silence] {
        let kinds = frames(&said);
        assert!(!kinds.contains(&HEADERS), "no answer: {kinds:?}");
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    }
    // A block in frames of one byte is stopped by their number.
    let mut raw = target.connect().await;
    let opening = frame(HEADERS, END_STREAM, 1, &[get(), vec![0x00, 126]].concat());
    raw.0.write_all(&opening).await.unwrap();
    let drop = frame(CONTINUATION, 0, 1, b"a");
    let said = drip(raw, &drop, |_| false).await;
    let found = whole_frames(&said);
    let told = found.iter().find(|(kind, ..)| *kind == GOAWAY);
    let (.., payload) = told.expect("it says why");
    assert_eq!(payload[4..8], ENHANCE_YOUR_CALM.to_be_bytes());
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_gets_a_503_and_its_stream_ends_while_the_connection_goes_on() {
    let target = Target::within(short()).await;
    let mut raw = target.connect().await;
    let length = ("content-length", "4000");
    let opening = [
        frame(HEADERS, END_HEADERS, 1, &post(&[length])),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, &get()),
    ];
    raw.0.write_all(&opening.concat()).await.unwrap();
    let drop = frame(DATA, 0, 1, b" ");
    // The stream is reset: nobody waits for the rest of the body.
    let reset = |said: &[u8]| {
        let mut found = whole_frames(said).into_iter();
        found.any(|(kind, stream, _)| (kind, stream) == (RST_STREAM, 1))
    };
    let (said, ()) = tokio::join!(drip(raw, &drop, reset), target.still_serves());
    let found = whole_frames(&said);
    let body = |wanted: u32| -> String {
        let of = found
            .iter()
            .filter(|(kind, stream, _)| (*kind, *stream) == (DATA, wanted));
        String::from_utf8(of.flat_map(|(.., payload)| payload.to_vec()).collect()).unwrap()
    };
    assert!(
        body(1).contains("\"code\":\"deadline-exceeded\""),
        "{}",
        body(1)
    );
    assert_eq!(
        body(3),
        "ok\n",
        "the other stream of the connection was served"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_its_answers_no_window_loses_the_connection() {
    let target = Target::within(short()).await;
    let mut raw = target.connect_with(NO_WINDOW).await;
    let begun = Instant::now();
    let asks: Vec<u8> = (0..32)
        .flat_map(|number| frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &get()))
        .collect();
    raw.0.write_all(&asks).await.unwrap();
    // It goes on asking, so that it is never idle.
    let ping = frame(PING, 0, 0, &[1; 8]);
    let (said, ()) = tokio::join!(drip(raw, &ping, |_| false), target.still_serves());
    assert!(begun.elapsed() >= 2 * SHORT, "it had its time");
    let found = whole_frames(&said);
    let heads = found.iter().filter(|(kind, ..)| *kind == HEADERS).count();
    assert_eq!(heads, 32, "each was answered");
    let taken = found.iter().filter(|(kind, ..)| *kind == DATA);
    assert_eq!(taken.map(|(.., payload)| payload.len()).sum::<usize>(), 0);
    target.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_parts_contradict_each_other_is_reset_and_reaches_nobody() {
    let target = Target::new().await;
    let smuggled = b"GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let whole = smuggled.len().to_string();
    for (place, (headers, sent)) in [
        // Less than what follows, more than what follows, two, and none.
        (vec![("content-length", "1")], &smuggled[..]),
        (vec![("content-length", "4000")], smuggled),
        (
            vec![("content-length", "0"), ("content-length", &whole)],
            smuggled,
        ),
        (vec![("content-length", "-1")], smuggled),
        (vec![("content-length", "0x1")], smuggled),
        // Of a connection, which HTTP/2 has not (RFC 9113 section 8.2.2).
        (vec![("transfer-encoding", "chunked")], b"0\r\n\r\n"),
        (vec![("connection", "keep-alive")], b"{}"),
        (vec![("te", "gzip")], b"{}"),
        // Names and values that HTTP/1.1 would read otherwise (section 8.2.1).
        (vec![("Content-Length", "2")], b"{}"),
        (vec![("x-a", "b\r\ncontent-length: 0")], b"{}"),
        (vec![("x-a: b\r\nhost", "a")], b"{}"),
        (vec![(":path", "/v1/keys")], b"{}"),
        (vec![(":nobody", "a")], b"{}"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = target.connect().await;
        let request = [
            frame(HEADERS, END_HEADERS, 1, &post(&headers)),
            frame(DATA, END_STREAM, 1, sent),
        ];
        raw.0.write_all(&request.concat()).await.unwrap();
        let ping = frame(PING, 0, 0, &[1; 8]);
        let over = |said: &[u8]| {
            let found = whole_frames(said);
            found
                .iter()
                .any(|(kind, ..)| [RST_STREAM, GOAWAY, HEADERS].contains(kind))
        };
        let said = drip(raw, &ping, over).await;
        let kinds = frames(&said);
        assert!(!kinds.contains(&HEADERS), "{place}: answered: {kinds:?}");
    }
    assert_eq!(target.world.reserved(), 0);
    target.still_serves().await;
}
