//! What is in a module and in a token.

use obol_console::Outcome;
use obol_kms::{KeyPair, Module, Token, TokenConfig, TokenSummary};
use serde::Serialize;

use crate::arguments::Show;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Serialize)]
struct Inventory {
    tokens: Vec<ShownToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<ShownKey>>,
}

#[derive(Serialize)]
struct ShownToken {
    label: String,
    serial: String,
    model: String,
    manufacturer: String,
}

#[derive(Serialize)]
struct ShownKey {
    spki: String,
    algorithm: String,
    label: String,
    /// Why the key may not be used; absent when it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

pub(crate) fn show(arguments: &Show) -> Result<Outcome, Failure> {
    let inventory = match (&arguments.of.token, &arguments.of.module) {
        (Some(token_file), _) => {
            let config = TokenConfig::of_argument(token_file)?;
            let module = Module::load(&config.module)?;
            let token = Token::open(&module, &config, 1)?;
            let keys = token.keys().into_iter().map(shown_key).collect();
            Inventory {
                tokens: shown_tokens(module.tokens()?),
                keys: Some(keys),
            }
        }
        (None, Some(path)) => {
            let module = Module::load(path)?;
            Inventory {
                tokens: shown_tokens(module.tokens()?),
                keys: None,
            }
        }
        (None, None) => Inventory {
            tokens: Vec::new(),
            keys: None,
        },
    };
    if arguments.json {
        return print_json(&inventory);
    }
    print(&inventory);
    Ok(Outcome::Done)
}

fn print(inventory: &Inventory) {
    for token in &inventory.tokens {
        println!(
            "token {} serial {} model {}",
            token.label, token.serial, token.model
        );
    }
    for key in inventory.keys.iter().flatten() {
        let fitness = match &key.refused {
            None => String::new(),
            Some(reason) => format!(" REFUSED: {reason}"),
        };
        println!("key {} {} {}{fitness}", key.spki, key.algorithm, key.label);
    }
}

fn shown_tokens(tokens: Vec<TokenSummary>) -> Vec<ShownToken> {
    tokens
        .into_iter()
        .map(
            |TokenSummary {
                 label,
                 serial,
                 model,
                 manufacturer,
             }| ShownToken {
                label,
                serial,
                model,
                manufacturer,
            },
        )
        .collect()
}

fn shown_key(pair: KeyPair) -> ShownKey {
    ShownKey {
        spki: pair.id.to_string(),
        algorithm: format!("ECDSA {}", pair.public.curve()),
        label: pair.label,
        refused: pair.fitness.err().map(|reason| reason.to_string()),
    }
}
