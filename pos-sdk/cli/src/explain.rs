//! A refusal code in words.

use clap::ValueEnum;
use miette::Diagnostic;
use obol_console::Outcome;
use obol_pos_sdk::{Language, RefusalCode, wording};
use serde::Serialize;
use thiserror::Error;

use crate::say::{self, Format};

/// A language, as it is written on the command line.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Lang {
    #[default]
    En,
    #[value(name = "zh-CN")]
    ZhCn,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Self::En,
            Lang::ZhCn => Self::ZhCn,
        }
    }
}

#[derive(Debug, Error, Diagnostic)]
#[error("there is no refusal code {given:?}")]
#[diagnostic(help("give a name like CODE_STALE or a number of 1 to 20"))]
struct NoSuchCode {
    given: String,
}

#[derive(Serialize)]
struct Explained {
    code: &'static str,
    number: u8,
    what: &'static str,
    todo: &'static str,
}

pub(crate) fn explain(given: &str, lang: Lang, format: Format) -> miette::Result<Outcome> {
    let is_meant = |code: &&RefusalCode| {
        code.name().eq_ignore_ascii_case(given) || code.number().to_string() == given
    };
    let code = RefusalCode::all().iter().find(is_meant);
    let code = *code.ok_or_else(|| NoSuchCode {
        given: given.to_owned(),
    })?;
    let words = wording(code, lang.into());
    let value = Explained {
        code: code.name(),
        number: code.number(),
        what: words.what,
        todo: words.todo,
    };
    let text = format!(
        "{} ({})\n{}\n{}",
        value.code, value.number, value.what, value.todo
    );
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}
