//! Second half, in a process whose SOFTHSM2_CONF is set: the tokens themselves.

use std::path::Path;

use obol_console::{Mode, write_new_atomically};
use obol_kms::{Module, Pin};
use zeroize::Zeroizing;

use crate::failure::SetupError;
use crate::plan::Plan;

/// Random bytes of a PIN; it is written as twice as many hexadecimal digits.
const PIN_BYTES: usize = 16;

pub(crate) fn all(plan: &Plan, dir: &Path, module_path: &Path) -> Result<(), SetupError> {
    let module = Module::load(module_path)?;
    for token in &plan.tokens {
        one(&module, &token.name, dir)?;
    }
    Ok(())
}

fn one(module: &Module, name: &str, dir: &Path) -> Result<(), SetupError> {
    let so_pin = random_pin(&dir.join(format!("{name}.so-pin")))?;
    let user_pin = random_pin(&dir.join(format!("{name}.pin")))?;
    let token = module
        .initialize_token(name, &so_pin, &user_pin)
        .map_err(|source| SetupError::Initialise {
            name: name.to_owned(),
            source,
        })?;
    let text = format!(
        "module = {}\nlabel = {}\nserial = {}\npin_file = {}\n",
        toml::Value::from(module.path().display().to_string()),
        toml::Value::from(token.label),
        toml::Value::from(token.serial),
        toml::Value::from(format!("{name}.pin")),
    );
    let path = dir.join(format!("{name}.token.toml"));
    Ok(write_new_atomically(&path, text.as_bytes(), Mode::Public)?)
}

fn random_pin(path: &Path) -> Result<Pin, SetupError> {
    let mut bytes = Zeroizing::new([0; PIN_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(|error| SetupError::Random(error.to_string()))?;
    let text = Zeroizing::new(data_encoding::HEXLOWER.encode(bytes.as_ref()));
    write_new_atomically(path, text.as_bytes(), Mode::Private)?;
    Ok(Pin::new(text.as_bytes()).expect("32 hexadecimal digits are a PIN"))
}
