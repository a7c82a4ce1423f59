//! HTTP/1.1 as no client of ours speaks it: at most one answer to each connection's first request,
//! and none to what was smuggled behind it.

use std::time::Duration;

use obol_transport::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::raw::{PATIENCE, Raw};
use crate::world::{Leaf, Phone, SUBJECT, World, json_of};

const HTTP_1: &str = "http/1.1";
/// What an attacker would have the server read as a request of its own.
const SMUGGLED: &str = "GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Target {
    world: World,
    base: String,
    leaf: Leaf,
}

impl Target {
    async fn new(limits: Limits) -> Target {
        let world = World::new();
        let (platform, leaf) = world.platform_leaf();
        let config = world.config(&[("obol://platform/main", &platform)]);
        let base = world.start_within(limits, config).await;
        Target { world, base, leaf }
    }

    async fn connect(&self) -> Raw {
        Raw::connect(&self.world, &self.base, Some(&self.leaf), HTTP_1).await
    }

    async fn answer_to(&self, request: &str) -> String {
        self.connect().await.exchange(request.as_bytes()).await
    }
}

fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.map(|line| &line[..3]).collect()
}

#[tokio::test]
async fn a_request_whose_length_can_be_read_in_two_ways_is_refused_or_the_last_of_its_connection() {
    let target = Target::new(Limits::default()).await;
    let post =
        "POST /v1/credentials HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let hidden = SMUGGLED.len();
    for (lengths, body, expected) in [
        // Content-Length and Transfer-Encoding, in either order.
        (
            format!("Content-Length: {hidden}\r\nTransfer-Encoding: chunked\r\n"),
            "0\r\n\r\n",
            "400",
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {hidden}\r\n"),
            "0\r\n\r\n",
            "400",
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            "0\r\n\r\n",
            "400",
        ),
        // Two lengths.
        (
            format!("Content-Length: 0\r\nContent-Length: {hidden}\r\n"),
            "",
            "400",
        ),
        (format!("Content-Length: 0, {hidden}\r\n"), "", "400"),
        // Lengths that are none.
        ("Content-Length: +0\r\n".to_owned(), "", "400"),
        ("Content-Length: -1\r\n".to_owned(), "", "400"),
        ("Content-Length: 0x0\r\n".to_owned(), "", "400"),
        (
            "Content-Length: 99999999999999999999\r\n".to_owned(),
            "",
            "400",
        ),
        // Encodings that end in something else, or hide.
        (
            "Transfer-Encoding: chunked, identity\r\n".to_owned(),
            "0\r\n\r\n",
            "400",
        ),
        (
            "Transfer-Encoding: xchunked\r\n".to_owned(),
            "0\r\n\r\n",
            "400",
        ),
        (
            "Transfer-Encoding : chunked\r\n".to_owned(),
            "0\r\n\r\n",
            "400",
        ),
        ("Content-Length : 0\r\n".to_owned(), "", "400"),
        // A header that goes on in the next line (obs-fold), and one that hides in another.
        (
            "X-A: b\r\n Transfer-Encoding: chunked\r\n".to_owned(),
            "0\r\n\r\n",
            "400",
        ),
        ("X-A: b\rContent-Length: 0\r\n".to_owned(), "", "400"),
        ("X-A: b\0\r\n".to_owned(), "", "400"),
    ] {
        let request = format!("{post}{lengths}\r\n{body}{SMUGGLED}");
        let answer = target.answer_to(&request).await;
        assert_eq!(statuses(&answer), [expected], "{lengths:?}: {answer}");
    }
}

#[tokio::test]
async fn a_chunk_whose_size_is_none_ends_the_connection() {
    let target = Target::new(Limits::default()).await;
    let post = "POST /v1/credentials HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
                application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in [
        "-1\r\n",
        "zz\r\n",
        "ffffffffffffffff1\r\n",
        "1 1\r\n",
        "\r\n",
    ] {
        let answer = target.answer_to(&format!("{post}{chunk}{SMUGGLED}")).await;
        assert_eq!(statuses(&answer), ["400"], "{chunk:?}: {answer}");
    }
}

/// hyper's parser takes a bare LF for the end of a line, as RFC 9112 section 2.2 permits: then it
/// does so everywhere, and what would hide behind one counts.
#[tokio::test]
async fn a_bare_line_feed_ends_a_header_line_and_hides_nothing_and_no_chunk_has_one() {
    let target = Target::new(Limits::default()).await;
    let begin =
        "POST /v1/credentials HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let hidden = SMUGGLED.len();
    let last = "Connection: close\r\n";
    for (rest, code) in [
        // The second line is seen, so that there are two lengths.
        (
            format!(
                "X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: {hidden}\r\n\r\n0\r\n\r\n"
            ),
            "",
        ),
        (
            format!("X-A: b\nContent-Length: 0\r\nContent-Length: {hidden}\r\n\r\n"),
            "",
        ),
        (format!("X-A: b\n Content-Length: {hidden}\r\n\r\n"), ""),
        // What was to be a request of its own is the body.
        (
            format!("{last}X-A: b\nContent-Length: {hidden}\r\n\r\n"),
            "malformed-request",
        ),
        (
            format!("{last}Content-Length: {hidden}\n\n"),
            "malformed-request",
        ),
        // Chunks: CR LF or nothing.
        (
            format!("{last}Transfer-Encoding: chunked\r\n\r\n0\n\n"),
            "bad-request",
        ),
        (
            format!("{last}Transfer-Encoding: chunked\r\n\r\n2\n{{}}\n0\n\n"),
            "bad-request",
        ),
        (
            format!("{last}Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n"),
            "bad-request",
        ),
    ] {
        let answer = target.answer_to(&format!("{begin}{rest}{SMUGGLED}")).await;
        assert_eq!(statuses(&answer), ["400"], "{rest:?}: {answer}");
        let told = format!("\"code\":\"{code}\"");
        assert!(
            code.is_empty() || answer.contains(&told),
            "{rest:?}: {answer}"
        );
    }
    assert_eq!(target.world.reserved(), 0);
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let target = Target::new(Limits::default()).await;
    let begin = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let many: String = (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(2 * 1024 * 1024));
    for headers in [many, long] {
        let answer = target.answer_to(&format!("{begin}{headers}\r\n")).await;
        // Closed at once where more came than the server reads.
        let told = statuses(&answer);
        assert!(told == ["431"] || told.is_empty(), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000));
    let answer = target.answer_to(&long).await;
    assert_eq!(statuses(&answer), ["414"], "{answer}");
}

#[tokio::test]
async fn a_chunked_body_without_end_is_cut_off_at_the_limit_of_its_route() {
    let target = Target::new(Limits::default()).await;
    for (path, limit) in [
        ("/v1/credentials", 4096),
        ("/v1/credentials/batch", 2 * 1024 * 1024),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        let mut raw = target.connect().await;
        raw.0.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        let mut sent = 0;
        while raw.0.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 0x1000;
            assert!(sent < limit + 64 * 1024 * 1024, "the server reads for ever");
            let mut answer = [0; 12];
            let soon = Duration::from_millis(1);
            if let Ok(Ok(_)) = timeout(soon, raw.0.read_exact(&mut answer)).await {
                assert_eq!(&answer, b"HTTP/1.1 413");
                break;
            }
        }
        assert!(sent > limit / 2, "{sent}");
    }
}

#[tokio::test]
async fn who_sends_header_or_body_byte_by_byte_is_cut_off_and_delays_nobody() {
    let short = Duration::from_millis(700);
    let limits = Limits {
        header: short,
        request: short,
        ..Limits::default()
    };
    let target = Target::new(limits).await;
    let head = "POST /v1/credentials HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
                application/json\r\nContent-Length: 4000\r\n\r\n";
    let drip = async |first: &str| {
        let mut raw = target.connect().await;
        raw.0.write_all(first.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let reading = async {
            loop {
                let mut byte = [0];
                let pause = Duration::from_millis(20);
                match timeout(pause, raw.0.read(&mut byte)).await {
                    Ok(Ok(0) | Err(_)) => break,
                    Ok(Ok(_)) => answer.push(byte[0]),
                    Err(_) if raw.0.write_all(b"a").await.is_err() => break,
                    Err(_) => {}
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("cut off");
        String::from_utf8(answer).unwrap()
    };
    let others = async {
        let (identity, _) = target.world.platform_leaf();
        // A key of the same URI that nobody registered: it is answered, which is all that counts.
        let http = obol_transport::HttpsClient::new(&target.world.anchor(), Some(identity));
        let reply = http.get(&format!("{}/healthz", target.base)).await.unwrap();
        reply.status.as_u16()
    };
    let (header, body, other) =
        tokio::join!(drip("GET /healthz HTTP/1.1\r\nX-A: "), drip(head), others);
    assert_eq!(statuses(&header), Vec::<&str>::new(), "{header}");
    assert_eq!(statuses(&body), ["503"], "{body}");
    assert!(body.contains("\"code\":\"deadline-exceeded\""), "{body}");
    assert_eq!(other, 403);
}

#[tokio::test]
async fn bodies_that_are_not_the_json_of_the_request_are_refused_each_with_400() {
    let world = World::new();
    let caller = world.with_caller().await;
    let good = Phone::new(1).asks(SUBJECT).to_string();
    let unknown = good.replacen('{', "{\"admin\":true,", 1);
    let twice = good.replacen('{', "{\"class\":2,", 1);
    let deep = "[".repeat(2000);
    let negative = good.replace("\"class\":1", "\"class\":-1");
    let fraction = good.replace("\"class\":1", "\"class\":1.5");
    let large = good.replace("\"class\":1", "\"class\":300");
    let text = good.replace("\"class\":1", "\"class\":\"1\"");
    let trailing = format!("{good}{{}}");
    let url = format!("{}/v1/credentials", caller.base);
    let mut bodies = vec![
        unknown,
        twice,
        deep,
        negative,
        fraction,
        large,
        text,
        trailing,
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"\"".to_owned(),
        "{}".to_owned(),
        format!("\u{feff}{good}"),
        good.replace('"', "'"),
        good[..good.len() - 1].to_owned(),
    ];
    bodies.push("{\"subject\":\"\\ud800\"}".to_owned());
    for body in bodies {
        let sent = obol_transport::Bytes::from(body.clone());
        let reply = caller
            .http
            .post(&url, "application/json", sent)
            .await
            .unwrap();
        assert_eq!(json_of(&reply, 400)["code"], "malformed-request", "{body}");
    }
    let not_utf8 = obol_transport::Bytes::from_static(b"{\"subject\":\"\xff\xfe\"}");
    let reply = caller
        .http
        .post(&url, "application/json", not_utf8)
        .await
        .unwrap();
    assert_eq!(json_of(&reply, 400)["code"], "malformed-request");
    let padded = format!("{good}{}", " ".repeat(4096));
    let reply = caller
        .http
        .post(&url, "application/json", padded.into())
        .await
        .unwrap();
    assert_eq!(json_of(&reply, 413)["code"], "body-too-large");
    // None of them used anything up.
    json_of(
        &caller
            .post("/v1/credentials", &[], &json!(Phone::new(1).asks(SUBJECT)))
            .await,
        201,
    );
}
