//! Reading members of a JSON object, with the name of the one that is wrong.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::json::Json;

/// Which member does not have its role's form, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member} is not {wanted}")]
pub struct FormError {
    /// The member.
    pub member: String,
    /// What it has to be.
    pub wanted: &'static str,
}

pub(super) type Form<T> = Result<T, FormError>;

pub(super) fn wrong<T>(member: &str, wanted: &'static str) -> Form<T> {
    let member = member.to_owned();
    Err(FormError { member, wanted })
}

/// The member `name` of `json`, read by `read`; not there is as wrong as of another kind.
pub(super) fn take<'a, T>(
    json: &'a Json,
    name: &str,
    wanted: &'static str,
    read: impl FnOnce(&'a Json) -> Option<T>,
) -> Form<T> {
    match json.member(name).and_then(read) {
        Some(value) => Ok(value),
        None => wrong(name, wanted),
    }
}

/// As [`take`], but the member may be absent.
pub(super) fn take_if_there<'a, T>(
    json: &'a Json,
    name: &str,
    wanted: &'static str,
    read: impl FnOnce(&'a Json) -> Option<T>,
) -> Form<Option<T>> {
    match json.member(name) {
        None => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => wrong(name, wanted),
        },
    }
}

pub(super) fn text(json: &Json) -> Option<&str> {
    match json {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn flag(json: &Json) -> Option<bool> {
    match json {
        Json::Flag(flag) => Some(*flag),
        _ => None,
    }
}

pub(super) fn count(json: &Json) -> Option<u64> {
    match json {
        Json::Whole(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn object(json: &Json) -> Option<&BTreeMap<String, Json>> {
    match json {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

pub(super) fn list(json: &Json) -> Option<&Vec<Json>> {
    match json {
        Json::List(items) => Some(items),
        _ => None,
    }
}

pub(super) fn texts(json: &Json) -> Option<Vec<String>> {
    let owned = |item| text(item).map(str::to_owned);
    list(json)?.iter().map(owned).collect()
}
