//! What an officer does: make a key, and approve changes with it.

pub(crate) mod arguments;
pub(crate) mod key_file;
mod words;

use std::io::{self, BufRead, Write};

use obol_console::{Mode, Outcome, read_limited, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms_registry::{Approval, Officer as Entry, STATEMENT_MAX, Statement};

use serde::Serialize;

use crate::failure::Failure;
use crate::failure::registry::{NotARequest, NotConfirmed, RequestExpired};
use crate::output::{must_be_free, print_json};
use arguments::{Approve, Keygen, Officer};
pub(crate) use key_file::OfficerSecret;

pub(crate) fn run(command: &Officer) -> Result<Outcome, Failure> {
    match command {
        Officer::Keygen(arguments) => keygen(arguments),
        Officer::Approve(arguments) => approve(arguments),
    }
}

/// An officer, as one is printed.
#[derive(Serialize)]
struct NewOfficer {
    name: String,
    public_key: String,
}

/// An approval, as it is printed.
#[derive(Serialize)]
struct Approved {
    spki: String,
    approval: String,
}

fn keygen(arguments: &Keygen) -> Result<Outcome, Failure> {
    let Keygen { name, key, json } = arguments;
    must_be_free(key)?;
    let secret = OfficerSecret::generate()?;
    // The name is checked before the key is written: a roster would refuse it later.
    let entry = Entry::new(name, secret.public())?;
    secret.write(key)?;
    if *json {
        return print_json(&NewOfficer {
            name: entry.name().to_owned(),
            public_key: entry.key().to_string(),
        });
    }
    println!(
        "[[officers]]\nname = \"{}\"\npublic_key = \"{}\"",
        entry.name(),
        entry.key()
    );
    Ok(Outcome::Done)
}

fn approve(arguments: &Approve) -> Result<Outcome, Failure> {
    let Approve {
        request,
        key,
        out,
        yes,
        json,
    } = arguments;
    must_be_free(out)?;
    let bytes = read_limited(request, STATEMENT_MAX)?;
    let statement = Statement::decode(&bytes).map_err(|source| NotARequest {
        path: request.clone(),
        source,
    })?;
    let now = UnixTime(unix_now());
    if statement.not_after < now {
        return Err(RequestExpired(statement.not_after).into());
    }
    eprintln!("{}", words::of(&statement));
    if !*yes && !confirmed()? {
        return Err(NotConfirmed.into());
    }
    let secret = OfficerSecret::read(key)?;
    let signature = secret.sign(&statement.encode());
    let approval = Approval::new(&statement, secret.public(), signature);
    write_new_atomically(out, &approval.encode(), Mode::Public)?;
    let (spki, approval) = (statement.spki.to_string(), out.display().to_string());
    if *json {
        return print_json(&Approved { spki, approval });
    }
    println!("{spki} {approval}");
    Ok(Outcome::Done)
}

pub(crate) fn confirmed() -> Result<bool, Failure> {
    let help = "run it in a terminal, or give --yes after reading the request";
    let asked = || -> io::Result<bool> {
        eprint!("Type yes to sign this: ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim_end() == "yes")
    };
    asked().map_err(|error| Failure::with_help(error, help))
}
