//! PKCS#11 URIs (RFC 7512), read strictly.
//!
//! The one crate for them (`pkcs11-uri` 0.1.3) panics on an attribute without a value, keeps the
//! whole text, PIN included, in memory that is never wiped, and draws a second PKCS#11 wrapper.

use std::fmt;

use zeroize::Zeroizing;

/// Longest URI, in bytes.
const URI_MAX: usize = 2_048;
const SCHEME: &str = "pkcs11:";
/// Attributes of the query that RFC 7512 section 2.4 names.
const QUERY: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

/// A PKCS#11 URI that keeps to the grammar. Values are percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pkcs11Uri {
    path: Vec<Attribute>,
    query: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Eq)]
struct Attribute {
    name: String,
    /// A URI can hold a PIN, and is only known to be refused once it is read.
    value: Zeroizing<Vec<u8>>,
}

/// Why a text is no PKCS#11 URI, or none that selects a token. Values are never shown: one of them
/// could be a PIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    /// Another scheme, or none.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// Longer than any sensible URI.
    #[error("it is longer than {URI_MAX} bytes")]
    TooLong,
    /// An attribute without `=`, or with an empty or impossible name.
    #[error("attribute {0} is not NAME=VALUE")]
    Attribute(usize),
    /// A character that has to be percent-encoded there, or a broken `%`.
    #[error("the value of {0} has a character that must be percent-encoded, or a broken %")]
    Encoding(String),
    /// An attribute that stands there twice (RFC 7512 section 2.3).
    #[error("{0} is there twice")]
    Twice(String),
    /// A value that is no UTF-8 text.
    #[error("the value of {0} is not text")]
    NotText(String),
    /// A value that the attribute cannot have.
    #[error("the value of {0} is not one that it can have")]
    Value(&'static str),
    /// An attribute that selects something else than a token, or that is unknown.
    #[error("{0} does not select a token: token, serial, model and manufacturer do")]
    NotOfAToken(String),
    /// An attribute that is needed and not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// `pin-value` puts the PIN where the URI is.
    #[error("pin-value is refused: it puts the PIN into files, process lists and logs")]
    PinValue,
    /// `module-name` leaves open which file is loaded.
    #[error("module-name is refused: which file it means differs from system to system")]
    ModuleName,
    /// A place that PINs are not taken from.
    #[error("pin-source is none of file:PATH, credential:NAME and prompt:")]
    PinSource,
}

impl Pkcs11Uri {
    /// Reads a URI by RFC 7512 section 2.3. Vendor attributes are kept; whether one is understood
    /// is for the reader of the attributes to say.
    pub(crate) fn parse(text: &str) -> Result<Pkcs11Uri, InvalidUri> {
        if text.len() > URI_MAX {
            return Err(InvalidUri::TooLong);
        }
        let rest = match text.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => return Err(InvalidUri::Scheme),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = attributes(path, ';', b"&")?;
        for (index, attribute) in path.iter().enumerate() {
            if path[..index]
                .iter()
                .any(|other| other.name == attribute.name)
            {
                return Err(InvalidUri::Twice(attribute.name.clone()));
            }
        }
        // Of the query, only vendor attributes may be there twice (section 2.4).
        let query = match query {
            Some(query) => attributes(query, '&', b"/?|")?,
            None => Vec::new(),
        };
        for name in QUERY {
            if query
                .iter()
                .filter(|attribute| attribute.name == name)
                .count()
                > 1
            {
                return Err(InvalidUri::Twice(name.to_owned()));
            }
        }
        let uri = Pkcs11Uri { path, query };
        uri.check_values()?;
        Ok(uri)
    }

    /// The restrictions of RFC 7512 section 2.3 on single values.
    fn check_values(&self) -> Result<(), InvalidUri> {
        const CLASSES: [&str; 5] = ["public", "private", "cert", "secret-key", "data"];
        if self
            .path("type")?
            .is_some_and(|class| !CLASSES.contains(&class))
        {
            return Err(InvalidUri::Value("type"));
        }
        if self
            .path("slot-id")?
            .is_some_and(|id| !is_number::<u64>(id))
        {
            return Err(InvalidUri::Value("slot-id"));
        }
        let version = self.path("library-version")?;
        let parts = |version: &str| match version.split_once('.') {
            Some((major, minor)) => is_number::<u8>(major) && is_number::<u8>(minor),
            None => is_number::<u8>(version),
        };
        if version.is_some_and(|version| !parts(version)) {
            return Err(InvalidUri::Value("library-version"));
        }
        Ok(())
    }

    /// The text of a path attribute.
    pub(crate) fn path(&self, name: &str) -> Result<Option<&str>, InvalidUri> {
        text_of(&self.path, name)
    }

    /// The text of a query attribute.
    pub(crate) fn query(&self, name: &str) -> Result<Option<&str>, InvalidUri> {
        text_of(&self.query, name)
    }

    /// Refuses whatever is in the URI beside what selects a token and says how to reach it. An
    /// attribute that is left out of consideration would select less than its writer meant.
    pub(crate) fn only_a_token(&self) -> Result<(), InvalidUri> {
        const OF_A_TOKEN: [&str; 4] = ["token", "serial", "model", "manufacturer"];
        for Attribute { name, .. } in &self.path {
            if !OF_A_TOKEN.contains(&name.as_str()) {
                return Err(InvalidUri::NotOfAToken(name.clone()));
            }
        }
        for Attribute { name, .. } in &self.query {
            match name.as_str() {
                "pin-value" => return Err(InvalidUri::PinValue),
                "module-name" => return Err(InvalidUri::ModuleName),
                "pin-source" | "module-path" => {}
                _ => return Err(InvalidUri::NotOfAToken(name.clone())),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.path.iter().chain(&self.query).map(|one| &one.name);
        f.debug_list().entries(names).finish()
    }
}

fn attributes(text: &str, separator: char, also: &[u8]) -> Result<Vec<Attribute>, InvalidUri> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let read = |(index, text)| attribute(index + 1, text, also);
    text.split(separator).enumerate().map(read).collect()
}

fn attribute(index: usize, text: &str, also: &[u8]) -> Result<Attribute, InvalidUri> {
    let wrong = InvalidUri::Attribute(index);
    let (name, value) = text.split_once('=').ok_or(wrong.clone())?;
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || !name.bytes().all(letter) {
        return Err(wrong);
    }
    let value = decode(value.as_bytes(), also).ok_or(InvalidUri::Encoding(name.to_owned()))?;
    let name = name.to_owned();
    Ok(Attribute { name, value })
}

/// Percent-decodes; `None` for a character outside `pk11-res-avail`, `also` and the unreserved.
fn decode(value: &[u8], also: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = value.iter().copied();
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    while let Some(byte) = bytes.next() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~:[]@!$'()*+,=".contains(&byte);
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ if plain || also.contains(&byte) => byte,
            _ => return None,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn text_of<'a>(attributes: &'a [Attribute], name: &str) -> Result<Option<&'a str>, InvalidUri> {
    let Some(found) = attributes.iter().find(|attribute| attribute.name == name) else {
        return Ok(None);
    };
    match std::str::from_utf8(&found.value) {
        Ok(text) if !text.contains('\0') => Ok(Some(text)),
        _ => Err(InvalidUri::NotText(name.to_owned())),
    }
}

fn is_number<T: std::str::FromStr>(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<T>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Attributes of the path that RFC 7512 section 2.3 names.
    const PATH: [&str; 13] = [
        "token",
        "manufacturer",
        "serial",
        "model",
        "library-manufacturer",
        "library-description",
        "library-version",
        "object",
        "type",
        "id",
        "slot-description",
        "slot-manufacturer",
        "slot-id",
    ];

    /// The examples of RFC 7512 section 3, and what two of their attributes mean.
    const EXAMPLES: [(&str, &str, &str); 14] = [
        ("pkcs11:", "token", ""),
        ("pkcs11:object=my-pubkey;type=public", "object", "my-pubkey"),
        (
            "pkcs11:object=my-key;type=private?pin-source=file:/etc/token",
            "type",
            "private",
        ),
        (
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;\
             model=1.0;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=\
             ?pin-source=file:/etc/token_pin",
            "token",
            "The Software PKCS#11 Softtoken",
        ),
        (
            "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11",
            "object",
            "my-sign-key",
        ),
        (
            "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1",
            "object",
            "my-sign-key",
        ),
        (
            "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.\
             ?pin-value=the-pin",
            "manufacturer",
            "Snake Oil, Inc.",
        ),
        (
            "pkcs11:slot-description=Sun%20Metaslot",
            "slot-description",
            "Sun Metaslot",
        ),
        (
            "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;\
             library-description=Soft%20Token%20Library;library-version=1.23",
            "library-version",
            "1.23",
        ),
        (
            "pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;\
             id=%01%02%03%Ba%dd%Ca%fe%04%05%06",
            "token",
            "My token% created by Joe",
        ),
        (
            "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert",
            "token",
            "A name with a substring %;",
        ),
        (
            "pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;\
             object=my-certificate;type=cert",
            "token",
            "Name with a small A with acute: \u{e1}",
        ),
        (
            "pkcs11:token=my-token;object=my-certificate;type=cert;vendor-aaa=value-a\
             ?pin-source=file:/etc/token_pin&vendor-bbb=value-b",
            "vendor-aaa",
            "value-a",
        ),
        ("PKCS11:token=x", "token", "x"),
    ];

    #[test]
    fn the_examples_of_rfc_7512_are_read() {
        for (text, name, value) in EXAMPLES {
            let uri = Pkcs11Uri::parse(text).unwrap();
            assert_eq!(uri.path(name).unwrap().unwrap_or(""), value, "{text}");
        }
        let binary = Pkcs11Uri::parse(EXAMPLES[9].0).unwrap();
        assert_eq!(binary.path("id"), Err(InvalidUri::NotText("id".to_owned())));
    }

    #[test]
    fn what_is_not_by_the_grammar_is_refused_with_its_place() {
        let encoding = |name: &str| InvalidUri::Encoding(name.to_owned());
        for (text, expected) in [
            ("", InvalidUri::Scheme),
            ("pkcs11", InvalidUri::Scheme),
            ("pkcs12:token=a", InvalidUri::Scheme),
            ("pkcs11:token", InvalidUri::Attribute(1)),
            ("pkcs11:token=a;", InvalidUri::Attribute(2)),
            ("pkcs11:token=a;;serial=b", InvalidUri::Attribute(2)),
            ("pkcs11:=a", InvalidUri::Attribute(1)),
            ("pkcs11:to ken=a", InvalidUri::Attribute(1)),
            ("pkcs11:token=a b", encoding("token")),
            ("pkcs11:token=a/b", encoding("token")),
            ("pkcs11:token=a%2", encoding("token")),
            ("pkcs11:token=a%zz", encoding("token")),
            ("pkcs11:token=\u{e1}", encoding("token")),
            ("pkcs11:token=a#b", encoding("token")),
            (
                "pkcs11:token=a;token=b",
                InvalidUri::Twice("token".to_owned()),
            ),
            ("pkcs11:v=a;v=b", InvalidUri::Twice("v".to_owned())),
            (
                "pkcs11:?pin-source=file:a&pin-source=file:b",
                InvalidUri::Twice("pin-source".to_owned()),
            ),
            ("pkcs11:type=key", InvalidUri::Value("type")),
            ("pkcs11:slot-id=1a", InvalidUri::Value("slot-id")),
            ("pkcs11:slot-id=", InvalidUri::Value("slot-id")),
            (
                "pkcs11:library-version=1.2.3",
                InvalidUri::Value("library-version"),
            ),
            (
                "pkcs11:library-version=256",
                InvalidUri::Value("library-version"),
            ),
        ] {
            assert_eq!(Pkcs11Uri::parse(text), Err(expected), "{text}");
        }
        let long = format!("pkcs11:token={}", "a".repeat(URI_MAX));
        assert_eq!(Pkcs11Uri::parse(&long), Err(InvalidUri::TooLong));
        assert!(Pkcs11Uri::parse("pkcs11:?v=a&v=b").is_ok());
    }

    #[test]
    fn text_with_a_zero_byte_or_broken_utf8_is_no_text() {
        for value in ["a%00b", "%ff", "%C3"] {
            let uri = Pkcs11Uri::parse(&format!("pkcs11:token={value}")).unwrap();
            let expected = Err(InvalidUri::NotText("token".to_owned()));
            assert_eq!(uri.path("token"), expected);
        }
    }

    #[test]
    fn no_formatter_shows_a_value() {
        let uri = Pkcs11Uri::parse("pkcs11:token=a?pin-value=secret-pin").unwrap();
        assert_eq!(format!("{uri:?}"), "[\"token\", \"pin-value\"]");
        let error = uri.only_a_token().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn every_attribute_of_the_standard_but_those_of_a_token_is_refused_for_one() {
        for name in PATH {
            let uri = Pkcs11Uri::parse(&format!("pkcs11:{name}={}", sample(name))).unwrap();
            let of_a_token = ["token", "serial", "model", "manufacturer"].contains(&name);
            assert_eq!(uri.only_a_token().is_ok(), of_a_token, "{name}");
        }
        let vendor = Pkcs11Uri::parse("pkcs11:token=a?x-max-sessions=4").unwrap();
        let expected = InvalidUri::NotOfAToken("x-max-sessions".to_owned());
        assert_eq!(vendor.only_a_token(), Err(expected));
    }

    fn sample(name: &str) -> &'static str {
        match name {
            "type" => "private",
            "slot-id" | "library-version" => "1",
            _ => "a",
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(pkcs11:)?\\PC{0,60}") {
            drop(Pkcs11Uri::parse(&text));
        }

        #[test]
        fn any_text_survives_being_encoded(value in "[^\0]{0,40}") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let text = format!("pkcs11:serial=1;token={encoded}?module-path={encoded}");
            let uri = Pkcs11Uri::parse(&text).unwrap();
            prop_assert_eq!(uri.path("token"), Ok(Some(value.as_str())));
            prop_assert_eq!(uri.query("module-path"), Ok(Some(value.as_str())));
        }
    }
}
