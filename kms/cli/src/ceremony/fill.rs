//! A template becomes a plan of this machine, these tokens and these files.

use obol_console::{Mode, Outcome, read_limited, write_new_atomically};
use obol_kms::TokenConfig;
use obol_kms_ceremony::{BUNDLE_FILE_MAX, Hash, PLAN_MAX, Plan};

use crate::ceremony::arguments::{Fill, Named};
use crate::ceremony::{hash_of_file, say, tool_hash};
use crate::failure::Failure;
use crate::failure::ceremony::NotText;
use crate::output::must_be_free;

pub(super) fn fill(arguments: &Fill) -> Result<Outcome, Failure> {
    let Fill {
        template,
        token,
        input,
        audit,
        out,
    } = arguments;
    must_be_free(out)?;
    let text = String::from_utf8(read_limited(template, PLAN_MAX)?);
    let mut text = text.map_err(|_| NotText(template.clone()))?;
    for Named { name, path } in input {
        let sha256 = Hash::of(&read_limited(path, BUNDLE_FILE_MAX)?);
        text += &format!("\n[[inputs]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\n");
    }
    let (mut tokens, mut module) = (String::new(), Hash([0; 32]));
    for Named { name, path } in token {
        let config = TokenConfig::of_argument(path)?;
        module = hash_of_file(&config.module)?;
        tokens += &format!(
            "\n[[environment.tokens]]\nname = \"{name}\"\nlabel = \"{}\"\nserial = \"{}\"\n",
            config.label, config.serial
        );
    }
    let tool = tool_hash()?;
    text += &format!("\n[environment]\nmodule_sha256 = \"{module}\"\ntool_sha256 = \"{tool}\"\n");
    if let Some(key) = audit {
        text += &format!("audit = \"{}\"\n", key.to_vkey());
    }
    text += &tokens;
    let plan = Plan::parse(text.as_bytes())?;
    write_new_atomically(out, text.as_bytes(), Mode::Public)?;
    say("plan", plan.hash());
    Ok(Outcome::Done)
}
