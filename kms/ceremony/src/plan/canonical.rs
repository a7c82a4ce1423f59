//! The canonical form of a plan: its TOML as deterministic CBOR.

use minicbor::Encoder;
use minicbor::encode::Error;
use std::convert::Infallible;
use toml::Value;

/// Tables within tables: no plan has more.
const DEPTH_MAX: usize = 8;

/// A plan holds text, counts, lists and tables, and nothing else.
pub(super) fn canonical(table: &toml::Table) -> Result<Vec<u8>, String> {
    let value = Value::Table(table.clone());
    check(&value, DEPTH_MAX)?;
    let mut sink = Encoder::new(Vec::new());
    write(&value, &mut sink).expect("a vector takes what is written");
    Ok(sink.into_writer())
}

fn check(value: &Value, depth: usize) -> Result<(), String> {
    if depth == 0 {
        return Err(format!("tables stand in tables more than {DEPTH_MAX} deep"));
    }
    match value {
        Value::String(_) => Ok(()),
        Value::Integer(number) if *number >= 0 => Ok(()),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth - 1)),
        Value::Table(table) => table.values().try_for_each(|item| check(item, depth - 1)),
        other => Err(format!("{other} is neither text nor a number from 0")),
    }
}

fn write(value: &Value, sink: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
    match value {
        Value::String(text) => {
            sink.str(text)?;
        }
        Value::Integer(number) => {
            sink.u64(number.unsigned_abs())?;
        }
        Value::Array(items) => {
            sink.array(items.len() as u64)?;
            for item in items {
                write(item, sink)?;
            }
        }
        Value::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            // RFC 8949 section 4.2.1: in the order of the encoded keys, so shorter keys first.
            members.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            sink.map(members.len() as u64)?;
            for (key, item) in members {
                sink.str(key)?;
                write(item, sink)?;
            }
        }
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            sink.null()?;
        }
    }
    Ok(())
}
