//! Tokens that a command works with; one module may hold several of them.

use std::path::Path;

use obol_kms::{Module, Token, TokenConfig};

use crate::failure::Failure;

/// Modules loaded so far, each once.
#[derive(Default)]
pub(crate) struct Modules(Vec<Module>);

impl Modules {
    /// Opens the token of a token file with one session: commands do one thing at a time.
    pub(crate) fn open(&mut self, token_file: &Path) -> Result<Token, Failure> {
        let config = TokenConfig::of_argument(token_file)?;
        Ok(Token::open(self.module(&config.module)?, &config, 1)?)
    }

    pub(crate) fn module(&mut self, path: &Path) -> Result<&Module, Failure> {
        let canonical = path.canonicalize();
        let known = self
            .0
            .iter()
            .position(|module| canonical.as_deref().is_ok_and(|p| p == module.path()));
        let index = match known {
            Some(index) => index,
            None => {
                self.0.push(Module::load(path)?);
                self.0.len() - 1
            }
        };
        Ok(&self.0[index])
    }
}
