mod canonical;
pub mod step;

use std::collections::BTreeSet;

use obol_log::{LogKey, VkeyError};
use serde::Deserialize;

use crate::act::Act;
use crate::hash::Hash;

pub use step::Step;

/// Longest plan, in bytes.
pub const PLAN_MAX: usize = 64 * 1024;
const SCHEMA: u32 = 1;
const TOKENS_MAX: usize = 4;
const INPUTS_MAX: usize = 64;
const STEPS_MAX: usize = 64;
/// Longest text in a plan, in bytes.
const TEXT_MAX: usize = 200;
/// Longest name of a token or a file.
const NAME_MAX: usize = 64;

/// One act: everything that a ceremony will do, and nothing that decides who may approve it.
///
/// Made by [`Plan::parse`] alone, so a plan that exists is a valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    raw: RawPlan,
    act: Act,
    environment: Environment,
    inputs: Vec<(String, Hash)>,
    canonical: Vec<u8>,
}

/// Where the ceremony may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// SHA-256 of the PKCS#11 library's file.
    pub module: Hash,
    /// SHA-256 of the program's file.
    pub tool: Hash,
    /// The tokens.
    pub tokens: Vec<PlanToken>,
    /// Key of the audit log of the daemon that serves the tokens, if one does.
    pub audit: Option<LogKey>,
}

/// A token of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanToken {
    /// As steps name it.
    pub name: String,
    /// As the module reports it.
    pub label: String,
    /// As the module reports it.
    pub serial: String,
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Longer than any plan.
    #[error("the plan has {0} bytes, at most {PLAN_MAX} are read")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("the plan is not UTF-8 text")]
    NotText,
    /// No strict TOML of this shape.
    #[error("the plan does not read: {0}")]
    Syntax(String),
    /// Who approves stands on the roster.
    #[error("the plan names its own {0:?}: who approves is the roster's to say")]
    OwnApprovers(String),
    /// Another version of this form.
    #[error("the plan has schema {0}, this program reads {SCHEMA}")]
    Schema(u32),
    /// A text that is empty, too long or not printable.
    #[error("{what} {found:?} is not 1 to {TEXT_MAX} printable characters")]
    Text {
        /// Which.
        what: &'static str,
        /// What was given.
        found: String,
    },
    /// A name that could leave its folder, or be mistaken for another.
    #[error(
        "{what} {found:?} is not 1 to {NAME_MAX} of a-z, 0-9, '-' and '.', a letter or digit first"
    )]
    Name {
        /// Which.
        what: &'static str,
        /// What was given.
        found: String,
    },
    /// A hash that is none.
    #[error("{what} is not 64 lower-case hexadecimal digits: {found:?}")]
    Hash {
        /// Which.
        what: String,
        /// What was given.
        found: String,
    },
    /// The key of the audit log is none.
    #[error("audit is no key NAME+KEYID+BASE64: {0}")]
    Audit(VkeyError),
    /// Too many of them, or none.
    #[error("{found} {what}, wanted {least} to {most}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        least: usize,
        /// How many there may be.
        most: usize,
    },
    /// One name for two things.
    #[error("the {what} {name:?} is there twice")]
    Twice {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Steps that this act does not have.
    #[error("an act {0} does not have these steps in this order")]
    Steps(Act),
    /// A step names what the plan does not have.
    #[error("step {step} names the {what} {name:?}, which the plan does not have")]
    Unknown {
        /// Number of the step, from 1.
        step: usize,
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Declared and never used: the plan is not what its author thinks.
    #[error("the {what} {name:?} is used by no step")]
    Unused {
        /// What.
        what: &'static str,
        /// The name.
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    schema: u32,
    act: Act,
    title: String,
    /// Input with the waivers in force.
    waivers: Option<String>,
    steps: Vec<Step>,
    environment: RawEnvironment,
    #[serde(default)]
    inputs: Vec<RawInput>,
    changes: Option<Changes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnvironment {
    module_sha256: String,
    tool_sha256: String,
    /// `NAME+KEYID+BASE64`.
    audit: Option<String>,
    #[serde(default)]
    tokens: Vec<PlanToken>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    name: String,
    sha256: String,
}

/// What may differ from the last ceremony of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    /// Head of the last ceremony's transcript.
    since: String,
    /// Facts that may differ, as `STEP FACT`: `2 days`.
    #[serde(default)]
    allowed: Vec<String>,
}

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`InvalidPlan`] says what is wrong with which value.
    pub fn parse(bytes: &[u8]) -> Result<Plan, InvalidPlan> {
        if bytes.len() > PLAN_MAX {
            return Err(InvalidPlan::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidPlan::NotText)?;
        let syntax = |error: toml::de::Error| InvalidPlan::Syntax(error.to_string());
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        refuse_own_approvers(&table)?;
        let raw: RawPlan = toml::from_str(text).map_err(syntax)?;
        let canonical = canonical::canonical(&table).map_err(InvalidPlan::Syntax)?;
        if raw.schema != SCHEMA {
            return Err(InvalidPlan::Schema(raw.schema));
        }
        let environment = environment(&raw.environment)?;
        let inputs = inputs(&raw.inputs)?;
        let act = raw.act;
        let plan = Plan {
            raw,
            act,
            environment,
            inputs,
            canonical,
        };
        plan.check_texts()?;
        plan.check_steps()?;
        Ok(plan)
    }

    /// What it is for.
    #[must_use]
    pub const fn act(&self) -> Act {
        self.act
    }

    /// In a few words.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.raw.title
    }

    /// Where it may run.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Files that are brought along, each with the hash of its bytes.
    #[must_use]
    pub fn inputs(&self) -> &[(String, Hash)] {
        &self.inputs
    }

    /// The input that holds waivers, if there are any.
    #[must_use]
    pub fn waivers(&self) -> Option<&str> {
        self.raw.waivers.as_deref()
    }

    /// What is done, in this order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.raw.steps
    }

    /// Head of the last ceremony of its kind, and the facts that may differ from it.
    #[must_use]
    pub fn changes(&self) -> Option<(Hash, &[String])> {
        let changes = self.raw.changes.as_ref()?;
        let since = changes.since.parse().ok()?;
        Some((since, &changes.allowed))
    }

    /// Serial numbers of its tokens, in its order.
    #[must_use]
    pub fn serials(&self) -> Vec<String> {
        let tokens = self.environment.tokens.iter();
        tokens.map(|token| token.serial.clone()).collect()
    }

    /// The plan's TOML as deterministic CBOR (RFC 8949 section 4.2.1): white space, comments and
    /// the order of keys do not count.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// SHA-256 of the canonical form: what officers approve.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.canonical)
    }

    fn check_texts(&self) -> Result<(), InvalidPlan> {
        text("title", &self.raw.title)?;
        if let Some(changes) = &self.raw.changes {
            hash("changes.since", &changes.since)?;
            for allowed in &changes.allowed {
                text("changes.allowed", allowed)?;
            }
        }
        for step in &self.raw.steps {
            for (what, found) in texts(step) {
                text(what, found)?;
            }
            if let Some(policy) = step.policy() {
                text("policy", policy)?;
            }
            if let Some(out) = step.output() {
                file_name("out", out)?;
            }
            if let Step::DestroyKey(step) = step {
                hash("spki", &step.spki)?;
            }
        }
        Ok(())
    }

    fn check_steps(&self) -> Result<(), InvalidPlan> {
        let steps = &self.raw.steps;
        count("steps", steps.len(), 1, STEPS_MAX)?;
        if !self.act.permits(steps) {
            return Err(InvalidPlan::Steps(self.act));
        }
        let mut files: BTreeSet<&str> = self.inputs.iter().map(|(name, _)| name.as_str()).collect();
        let tokens: BTreeSet<&str> = self.token_names().collect();
        let (mut used, mut keys) = (BTreeSet::new(), BTreeSet::new());
        used.extend(self.waivers());
        for (place, step) in steps.iter().enumerate() {
            let step_number = place + 1;
            let unknown = |what, name: &str| InvalidPlan::Unknown {
                step: step_number,
                what,
                name: name.to_owned(),
            };
            if let Some(token) = step.token() {
                if !tokens.contains(token) {
                    return Err(unknown("token", token));
                }
                used.insert(token);
            }
            for input in step.inputs() {
                if !files.contains(input) {
                    return Err(unknown("file", input));
                }
                used.insert(input);
            }
            match step {
                Step::GenerateKey(step) => {
                    keys.insert((step.token.as_str(), step.label.as_str()));
                }
                Step::CertifyRoot(step) if !keys.contains(&(&*step.token, &*step.key)) => {
                    return Err(unknown("key", &step.key));
                }
                Step::Request(step) if !keys.contains(&(&*step.token, &*step.key)) => {
                    return Err(unknown("key", &step.key));
                }
                _ => {}
            }
            if let Some(out) = step.output()
                && !files.insert(out)
            {
                let name = out.to_owned();
                return Err(InvalidPlan::Twice { what: "file", name });
            }
        }
        self.check_used(&used)
    }

    fn check_used(&self, used: &BTreeSet<&str>) -> Result<(), InvalidPlan> {
        let tokens = self.token_names().map(|name| ("token", name));
        let inputs = self.inputs.iter().map(|(name, _)| ("input", name.as_str()));
        if let Some(waivers) = self.waivers()
            && !self.inputs.iter().any(|(name, _)| name == waivers)
        {
            return Err(InvalidPlan::Unknown {
                step: 0,
                what: "file",
                name: waivers.to_owned(),
            });
        }
        match tokens.chain(inputs).find(|(_, name)| !used.contains(name)) {
            None => Ok(()),
            Some((what, name)) => Err(InvalidPlan::Unused {
                what,
                name: name.to_owned(),
            }),
        }
    }

    fn token_names(&self) -> impl Iterator<Item = &str> {
        self.environment
            .tokens
            .iter()
            .map(|token| token.name.as_str())
    }
}

/// Whether it names a file that stays in its folder: 1 to 64 of a-z, 0-9, '-' and '.', a letter or
/// digit first.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'-' || b == b'.')
        && name.bytes().next().is_some_and(plain)
        && !name.contains("..")
}

/// A quorum that stands in the plan would be chosen by whoever writes the plan.
fn refuse_own_approvers(table: &toml::Table) -> Result<(), InvalidPlan> {
    const OTHERS: [&str; 7] = [
        "approvers",
        "approvals",
        "officers",
        "quorum",
        "roster",
        "witnesses",
        "roles",
    ];
    let own = table.keys().find(|key| OTHERS.contains(&key.as_str()));
    match own {
        None => Ok(()),
        Some(key) => Err(InvalidPlan::OwnApprovers(key.clone())),
    }
}

fn environment(raw: &RawEnvironment) -> Result<Environment, InvalidPlan> {
    count("tokens", raw.tokens.len(), 0, TOKENS_MAX)?;
    let (mut names, mut serials) = (BTreeSet::new(), BTreeSet::new());
    for token in &raw.tokens {
        file_name("token name", &token.name)?;
        text("token label", &token.label)?;
        text("token serial", &token.serial)?;
        if !names.insert(&token.name) | !serials.insert(&token.serial) {
            let name = token.name.clone();
            return Err(InvalidPlan::Twice {
                what: "token",
                name,
            });
        }
    }
    let audit = raw.audit.as_deref().map(LogKey::from_vkey).transpose();
    Ok(Environment {
        module: hash("module_sha256", &raw.module_sha256)?,
        tool: hash("tool_sha256", &raw.tool_sha256)?,
        tokens: raw.tokens.clone(),
        audit: audit.map_err(InvalidPlan::Audit)?,
    })
}

fn inputs(raw: &[RawInput]) -> Result<Vec<(String, Hash)>, InvalidPlan> {
    count("inputs", raw.len(), 0, INPUTS_MAX)?;
    let mut names = BTreeSet::new();
    let mut inputs = Vec::with_capacity(raw.len());
    for RawInput { name, sha256 } in raw {
        file_name("input", name)?;
        if !names.insert(name) {
            let name = name.clone();
            return Err(InvalidPlan::Twice {
                what: "input",
                name,
            });
        }
        inputs.push((name.clone(), hash(name, sha256)?));
    }
    Ok(inputs)
}

/// Texts that are shown to people.
fn texts(step: &Step) -> Vec<(&'static str, &str)> {
    match step {
        Step::GenerateKey(step) => vec![("label", &step.label)],
        Step::CertifyRoot(step) => vec![("common_name", &step.common_name), ("key", &step.key)],
        Step::CertifyAccessCa(step) => vec![("common_name", &step.common_name)],
        Step::CertifyIssuer(step) => {
            vec![
                ("common_name", &step.common_name),
                ("operator", &step.operator),
            ]
        }
        Step::Request(step) => vec![("common_name", &step.common_name), ("key", &step.key)],
        Step::Install(step) => vec![("key", &step.key)],
        Step::IssueCrl(_) | Step::ReplaceRoster(_) => Vec::new(),
        Step::SignTuf(step) => vec![("key", &step.key)],
        Step::DestroyKey(step) => vec![("key", &step.key), ("reason", &step.reason)],
    }
}

fn text(what: &'static str, found: &str) -> Result<(), InvalidPlan> {
    let printable = found.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if found.is_empty() || found.len() > TEXT_MAX || !printable {
        let found = found.to_owned();
        return Err(InvalidPlan::Text { what, found });
    }
    Ok(())
}

fn file_name(what: &'static str, found: &str) -> Result<(), InvalidPlan> {
    if is_file_name(found) {
        return Ok(());
    }
    let found = found.to_owned();
    Err(InvalidPlan::Name { what, found })
}

fn hash(what: &str, found: &str) -> Result<Hash, InvalidPlan> {
    found.parse().map_err(|()| InvalidPlan::Hash {
        what: what.to_owned(),
        found: found.to_owned(),
    })
}

fn count(what: &'static str, found: usize, least: usize, most: usize) -> Result<(), InvalidPlan> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(InvalidPlan::Count {
        what,
        found,
        least,
        most,
    })
}

#[cfg(test)]
mod tests;
