//! Rules set aside by two officers, for one profile and for a while.

pub(crate) mod arguments;

use std::path::{Path, PathBuf};

use obol_console::{Mode, Outcome, read_limited, unix_now, utc_text, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms::x509::{InvalidWaiver, Officers, RULES_FILE_MAX, Rules, Waiver, WaiverStatement};
use obol_kms_registry::{Registry, Roster};
use serde::Serialize;

use crate::failure::Failure;
use crate::failure::registry::{NotConfirmed, NotUtf8};
use crate::officer::{OfficerSecret, confirmed};
use crate::output::{must_be_free, print_json};
use arguments::{Check, Create, OfRoster, Show, Sign, Waived, WaiverCommand};

const DAY_S: u32 = 86_400;

pub(crate) fn run(command: &WaiverCommand) -> Result<Outcome, Failure> {
    match command {
        WaiverCommand::Create(arguments) => create(arguments),
        WaiverCommand::Sign(arguments) => sign(arguments),
        WaiverCommand::Show(arguments) => show(arguments),
        WaiverCommand::Check(arguments) => check(arguments),
    }
}

impl Waived {
    /// The rules in force now, with the waivers that were given.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        let rules = Rules::built_in();
        let Some(path) = &self.waivers else {
            return Ok(rules);
        };
        let roster = self.of.roster()?;
        let officers = officers_of(&roster)?;
        Ok(rules.with_waivers(&read(path)?, &officers, UnixTime(unix_now()))?)
    }
}

impl OfRoster {
    fn roster(&self) -> Result<Roster, Failure> {
        match (&self.roster, &self.registry) {
            (_, Some(registry)) => Ok(Registry::open(registry)?.roster().clone()),
            (Some(path), None) => Ok(Roster::parse(&read(path)?)?),
            (None, None) => Err(NoRoster.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("neither --roster nor --registry is given: nobody is an officer")]
struct NoRoster;

#[derive(Debug, thiserror::Error)]
#[error("{} holds {count} waivers", path.display())]
struct NotOneWaiver {
    path: PathBuf,
    count: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("this key is no officer's of the roster")]
struct NotOfTheRoster;

#[derive(Debug, thiserror::Error)]
#[error("officer {0:?} has approved this waiver already")]
struct ApprovedAlready(String);

impl From<NoRoster> for Failure {
    fn from(error: NoRoster) -> Failure {
        Failure::with_help(error, "give the roster of the officers who approved")
    }
}

impl From<NotOneWaiver> for Failure {
    fn from(error: NotOneWaiver) -> Failure {
        Failure::with_help(error, "sign waivers one by one; join the files afterwards")
    }
}

impl From<NotOfTheRoster> for Failure {
    fn from(error: NotOfTheRoster) -> Failure {
        Failure::refused(
            error,
            "give the key that the roster names, or the right roster",
        )
    }
}

impl From<ApprovedAlready> for Failure {
    fn from(error: ApprovedAlready) -> Failure {
        Failure::refused(error, "a second officer must sign: hand the file on")
    }
}

impl From<InvalidWaiver> for Failure {
    fn from(error: InvalidWaiver) -> Failure {
        let help = match &error {
            InvalidWaiver::Syntax(_) => "give a file that `waiver create` or `waiver sign` wrote",
            InvalidWaiver::Unknown { .. } => {
                "policies/lints.toml names the rules and the profiles that each is for"
            }
            InvalidWaiver::OtherVersion { .. } | InvalidWaiver::Expired { .. } => {
                "follow the rule, or make a new waiver and have two officers sign it"
            }
            InvalidWaiver::TooLong { .. } => "give fewer --days",
            InvalidWaiver::Reason(_) => "give --reason, in words for those who read it in a year",
            InvalidWaiver::TooFew { .. } => "have another officer sign it with `waiver sign`",
            InvalidWaiver::NotAnOfficer(_) | InvalidWaiver::Signature { .. } => {
                "give the roster that was in force when it was signed, and the file unchanged"
            }
        };
        Failure::refused(error, help)
    }
}

#[derive(Serialize)]
struct ShownWaiver {
    rule: String,
    rule_version: u32,
    profile: &'static str,
    reason: String,
    not_after: u32,
    /// As the file says: `check` verifies them.
    approving: Vec<String>,
}

impl ShownWaiver {
    fn of(waiver: &Waiver) -> Result<ShownWaiver, InvalidWaiver> {
        // The roster is no part of what is shown.
        let statement = waiver.statement([0; 32])?;
        Ok(ShownWaiver {
            rule: statement.rule,
            rule_version: statement.rule_version,
            profile: statement.profile.name(),
            reason: statement.reason,
            not_after: statement.not_after.0,
            approving: waiver.approving().map(str::to_owned).collect(),
        })
    }

    fn line(&self) -> String {
        let by = match self.approving.as_slice() {
            [] => "nobody".to_owned(),
            names => names.join(", "),
        };
        format!(
            "rule {} (version {}) is set aside for profile {} until {}: {}; signed by {by}",
            self.rule,
            self.rule_version,
            self.profile,
            utc_text(self.not_after),
            self.reason
        )
    }
}

fn create(arguments: &Create) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let now = UnixTime(unix_now());
    let waiver = Waiver::new(
        &Rules::built_in(),
        &arguments.rule,
        &arguments.profile,
        &arguments.reason,
        now.plus(arguments.days.saturating_mul(DAY_S)),
    )?;
    write_new_atomically(&arguments.out, waiver.to_toml().as_bytes(), Mode::Public)?;
    shown(&[waiver], arguments.json)
}

fn sign(arguments: &Sign) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let mut waiver = the_one(&arguments.waiver)?;
    let roster = arguments.of.roster()?;
    let statement = waiver.statement(roster.hash().0)?;
    refuse_what_never_counts(&waiver, &roster)?;
    let secret = OfficerSecret::read(&arguments.key)?;
    let officer = roster.officer(&secret.public()).ok_or(NotOfTheRoster)?;
    if waiver.approving().any(|name| name == officer.name()) {
        return Err(ApprovedAlready(officer.name().to_owned()).into());
    }
    eprintln!("{}", words(&statement, &roster));
    if !arguments.yes && !confirmed()? {
        return Err(NotConfirmed.into());
    }
    waiver.approve(officer.name(), &secret.sign(&statement.encode()));
    write_new_atomically(&arguments.out, waiver.to_toml().as_bytes(), Mode::Public)?;
    shown(&[waiver], arguments.json)
}

/// Too few approvals are what is expected before signing; everything else that `check` refuses is
/// refused before an officer is asked.
fn refuse_what_never_counts(waiver: &Waiver, roster: &Roster) -> Result<(), Failure> {
    let (officers, now) = (officers_of(roster)?, UnixTime(unix_now()));
    match Rules::built_in().with_waivers(&waiver.to_toml(), &officers, now) {
        Ok(_) | Err(InvalidWaiver::TooFew { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn words(statement: &WaiverStatement, roster: &Roster) -> String {
    format!(
        "Your signature will say:\n\
         \x20 rule {} (version {}) is set aside for profile {}\n\
         \x20 until {}\n\
         \x20 because {}\n\
         \x20 as an officer of roster {}",
        statement.rule,
        statement.rule_version,
        statement.profile.name(),
        utc_text(statement.not_after.0),
        statement.reason,
        roster.hash()
    )
}

fn show(arguments: &Show) -> Result<Outcome, Failure> {
    let waivers = Waiver::read_all(&read(&arguments.waiver)?)?;
    shown(&waivers, arguments.json)
}

fn check(arguments: &Check) -> Result<Outcome, Failure> {
    let text = read(&arguments.waiver)?;
    let officers = officers_of(&arguments.of.roster()?)?;
    Rules::built_in().with_waivers(&text, &officers, UnixTime(unix_now()))?;
    shown(&Waiver::read_all(&text)?, arguments.json)
}

fn shown(waivers: &[Waiver], as_json: bool) -> Result<Outcome, Failure> {
    let waivers = waivers.iter().map(ShownWaiver::of);
    let waivers = waivers.collect::<Result<Vec<_>, _>>()?;
    if as_json {
        return print_json(&waivers);
    }
    for waiver in &waivers {
        println!("{}", waiver.line());
    }
    Ok(Outcome::Done)
}

fn the_one(path: &Path) -> Result<Waiver, Failure> {
    let mut waivers = Waiver::read_all(&read(path)?)?;
    match (waivers.pop(), waivers.len()) {
        (Some(waiver), 0) => Ok(waiver),
        (last, others) => Err(NotOneWaiver {
            path: path.to_owned(),
            count: others + usize::from(last.is_some()),
        }
        .into()),
    }
}

fn officers_of(roster: &Roster) -> Result<Officers, Failure> {
    let officers = roster.officers().iter();
    let officers = officers.map(|officer| (officer.name(), *officer.key().as_sec1()));
    Ok(Officers::new(roster.hash().0, officers).ok_or(NoRoster)?)
}

fn read(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8(read_limited(path, RULES_FILE_MAX)?).map_err(|_| NotUtf8)?)
}
