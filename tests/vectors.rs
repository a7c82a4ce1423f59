//! Every file of tests/vectors/pt1 as a named test against the shipped verifier.

use std::{collections::HashMap, fs, path::Path};

use data_encoding::HEXLOWER;
use libtest_mimic::{Arguments, Failed, Trial};
use obol_verifier_sdk::{IssuerKey, Operator, RefusalCode, TrustStore, UnixTime, Verifier};

mod trust_entry;

use trust_entry::issuer_key;

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/pt1");
    let mut trials: Vec<_> = fs::read_dir(folder)
        .expect("the folder of vectors")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "vec"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            Trial::test(name, move || run(&fs::read_to_string(&path)?))
        })
        .collect();
    let files: Vec<_> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test("every_rule_has_a_vector", move || {
        every_rule(&files)
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A file that nobody mounted would prove nothing: the folder must hold what the page promises.
fn every_rule(files: &[String]) -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/pt1");
    let mut rules = [false; 14];
    for file in files {
        let text = fs::read_to_string(folder.join(format!("{file}.vec")))?;
        if let Some(rule) = Vector::parse(&text)?.rule {
            rules[rule - 1] = true;
        }
    }
    match rules.iter().position(|covered| !covered) {
        Some(missing) => Err(format!("rule {} has no vector", missing + 1).into()),
        None => Ok(()),
    }
}

fn run(text: &str) -> Result<(), Failed> {
    let vector = Vector::parse(text)?;
    let verifier = Verifier {
        trust: TrustStore::new(&vector.trust),
        operator: vector.operator,
    };
    let result = verifier.verify_text(&vector.text, vector.now);
    let found = result
        .as_ref()
        .map_or_else(|refusal| refusal.code.name(), |_| "OK");
    if found != vector.expect {
        return Err(format!("expected {}, found {found}: {result:?}", vector.expect).into());
    }
    if let Ok(verified) = result {
        let (claims, counter) = (verified.claims(), verified.dynamic().counter);
        let said = [
            ("cti", HEXLOWER.encode(&claims.cti.0)),
            ("counter", counter.to_string()),
            ("class", claims.fare.class.to_string()),
            ("cap", claims.fare.cap_minor.to_string()),
        ];
        for (key, value) in said {
            if vector.says[key] != value {
                return Err(format!("{key}: expected {}, found {value}", vector.says[key]).into());
            }
        }
    }
    Ok(())
}

struct Vector {
    expect: String,
    rule: Option<usize>,
    now: UnixTime,
    operator: Operator,
    trust: Vec<IssuerKey>,
    text: Vec<u8>,
    says: HashMap<String, String>,
}

impl Vector {
    fn parse(file: &str) -> Result<Self, Failed> {
        let (mut says, mut trust) = (HashMap::new(), Vec::new());
        for line in file
            .split_terminator('\n')
            .filter(|line| !line.starts_with('#'))
        {
            let (key, value) = line.split_once(": ").ok_or("a line without a key")?;
            if key == "trust" {
                let fields = value.split(' ').filter_map(|field| field.split_once('='));
                trust.push(issuer_key(&fields.collect())?);
            } else if says.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("{key} stands twice").into());
            }
        }
        let get = |key: &str| says.get(key).ok_or(format!("no {key}"));
        let expect = get("expect")?.clone();
        let known = RefusalCode::all().iter().any(|code| code.name() == expect);
        if expect != "OK" && !known {
            return Err(format!("{expect} is no refusal").into());
        }
        let text = match says.get("text") {
            Some(text) => text.clone().into_bytes(),
            None => HEXLOWER.decode(get("text_hex")?.as_bytes())?,
        };
        Ok(Self {
            rule: says.get("rule").map(|rule| rule.parse()).transpose()?,
            now: UnixTime(get("now")?.parse()?),
            operator: Operator::new(get("operator")?).ok_or("operator")?,
            expect,
            trust,
            text,
            says,
        })
    }
}
