//! The page on loopback, the scanner's self-test, the words of the codes, and journals that decay.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Child,
};

use crate::world::World;

/// A terminal's page; it ends with the test.
struct Page {
    child: Child,
    address: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Page {
    fn of(world: &World) -> Self {
        let mut child = world.start(&["--json", "serve", "--port", "0"]);
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let address = address.to_owned();
        Self { child, address }
    }

    /// A request as a browser makes it, with these headers instead of its own.
    fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut request = format!("{line} HTTP/1.1\r\nconnection: close\r\n");
        let own = [("host", self.address.as_str())];
        let host = headers.iter().any(|(name, _)| *name == "host");
        for (name, value) in own.iter().filter(|_| !host).chain(headers) {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn type_code(&self, lang: &str, code: &str) -> String {
        let coded: String = code.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = ("content-type", "application/x-www-form-urlencoded");
        let body = format!("code={coded}");
        self.ask(&format!("POST /?lang={lang}"), &[form], body.as_bytes())
    }
}

#[test]
fn the_page_takes_typed_codes_and_pictures_and_says_the_verdict_in_both_languages() {
    let world = World::new();
    let page = Page::of(&world);
    let blank = page.ask("GET /?lang=zh-CN", &[], b"");
    assert!(blank.contains("请出示乘车码"), "{blank}");
    let code = world.phone(1).code(world.now, 1);
    let granted = page.type_code("en", &format!("{code}\r\n"));
    assert!(granted.contains("Welcome aboard"), "{granted}");
    assert!(granted.contains("Fare 2.00 CNY"), "{granted}");
    let again = page.type_code("zh-CN", &code);
    assert!(again.contains("请勿上车"), "{again}");
    assert!(again.contains("DUPLICATE (13)"), "{again}");

    let other = world.picture(&world.phone(2).code(world.now, 2));
    let seen = page.ask("POST /picture?lang=en", &[], &fs::read(other).unwrap());
    assert!(seen.contains("Welcome aboard"), "{seen}");
    let noise = page.ask("POST /picture?lang=en", &[], b"not a picture");
    assert!(noise.contains("NO_CODE"), "{noise}");
    drop(page);
    assert_eq!(world.run(&["journal", "check"]).code, 0);
}

#[test]
fn the_page_repeats_nothing_that_was_typed_and_answers_only_its_own_page() {
    let world = World::new();
    let page = Page::of(&world);
    let noise = page.type_code("en", "<script>alert(1)</script>");
    assert!(noise.contains("UNKNOWN_SCHEME (2)"), "{noise}");
    assert!(!noise.contains("alert"), "{noise}");
    let policy = "content-security-policy: default-src 'none'; style-src 'self'";
    assert!(noise.contains(policy), "{noise}");
    let bent = page.ask("GET /", &[("host", "evil.example:80")], b"");
    assert!(bent.starts_with("HTTP/1.1 403"), "{bent}");
    let elsewhere = page.ask("POST /", &[("origin", "https://evil.example")], b"code=x");
    assert!(elsewhere.starts_with("HTTP/1.1 403"), "{elsewhere}");
    let long = "x".repeat(4_000);
    let refused = page.type_code("en", &long);
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}

#[test]
fn a_scanner_that_changes_what_it_reads_is_told_by_the_self_test() {
    let world = World::new();
    let said = world.run(&["selftest"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "PASSED picture: 90 characters\n")
    );
    let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".repeat(2);
    let said = world.run_typing(
        &["selftest", "--type"],
        format!("{alphabet}\r\n").as_bytes(),
    );
    assert_eq!(said.code, 0, "{said:?}");
    let said = world.run_typing(&["selftest", "--type"], alphabet.to_lowercase().as_bytes());
    said.two_lines(
        1,
        "the scanner typed \"a\" where the code has \"A\", at character 11",
    );
    let code = world.path("test.png");
    let said = world.run(&["selftest", "--write", code.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        world
            .scan(&code)
            .out
            .starts_with("REFUSED UNKNOWN_SCHEME (2)")
    );
}

#[test]
fn each_code_is_explained_by_name_and_number() {
    let world = World::new();
    let said = world.run(&["explain", "code_stale"]);
    assert!(said.out.starts_with("CODE_STALE (9)\n"), "{said:?}");
    let said = world.run(&["explain", "20", "--lang", "zh-CN"]);
    assert!(said.out.contains("终端无法保存乘车记录"), "{said:?}");
    let refused = world.run(&["explain", "21"]);
    refused.two_lines(2, "there is no refusal code \"21\"");
}

#[test]
fn a_damaged_journal_is_exported_and_repaired_from_the_command_line() {
    let world = World::new();
    for number in 1..=3 {
        let code = world.phone(number).code(world.now, number.into());
        assert_eq!(world.scan(&world.picture(&code)).code, 0);
    }
    let journal = world.path("journal.sqlite");
    let mut file = fs::read(&journal).unwrap();
    // The second record: an array of 8, version 2, number 2, a time.
    let needle = b"\x88\x02\x02\x1a";
    let places = file.windows(4).enumerate().filter(|(_, w)| w == needle);
    let places: Vec<_> = places.map(|(at, _)| at + 60).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| file[*at] ^= 4);
    fs::write(&journal, &file).unwrap();
    world
        .run(&["journal", "check"])
        .two_lines(2, "is damaged at record 2");
    let rides = world.path("rides.jsonl");
    let said = world.run(&["journal", "export", rides.to_str().unwrap()]);
    assert!(
        said.out.starts_with("EXPORTED records=3 unreadable=[]"),
        "{said:?}"
    );
    let said = world.run(&["journal", "repair"]);
    assert!(
        said.out
            .starts_with("REPAIRED records=3 restored=[2] lost=[]"),
        "{said:?}"
    );
    assert_eq!(world.run(&["journal", "check"]).code, 0);
}
