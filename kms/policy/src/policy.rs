//! A loaded policy set.

use std::path::Path;

use crate::answers::Answers;
#[cfg(feature = "cedar")]
use crate::cedar::Cedar;
use crate::decision::{Approved, Denied, Verdict};
use crate::question::Question;
use crate::source::{PolicyError, Source};
use crate::table;

/// Most verdicts that are remembered.
pub const ANSWERS_MAX: usize = 8_192;

/// A policy set that was checked as a whole.
#[derive(Debug)]
pub struct Policy {
    hash: [u8; 32],
    engine: Engine,
    answers: Answers,
}

#[derive(Debug)]
enum Engine {
    Table,
    #[cfg(feature = "cedar")]
    Cedar(Box<Cedar>),
}

impl Policy {
    /// Loads the set in `folder`: `schema.cedarschema` and every `NAME.cedar`, validated strictly.
    /// Without the feature `cedar` the folder must hold the committed set, byte for byte.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn load(folder: &Path) -> Result<Policy, PolicyError> {
        #[cfg(feature = "cedar")]
        return Policy::load_any(folder);
        #[cfg(not(feature = "cedar"))]
        return Policy::load_committed(folder);
    }

    #[cfg(feature = "cedar")]
    fn load_any(folder: &Path) -> Result<Policy, PolicyError> {
        let source = Source::read(folder)?;
        let engine = Engine::Cedar(Box::new(Cedar::new(&source)?));
        Ok(Policy::new(source.hash(), engine))
    }

    /// Loads the set in `folder` only if it is the committed one, and decides by the built-in table:
    /// what [`Policy::load`] does in a build without Cedar.
    ///
    /// # Errors
    /// [`PolicyError::NotTheBuiltIn`] for another set, or the folder cannot be read.
    pub fn load_committed(folder: &Path) -> Result<Policy, PolicyError> {
        let (found, built_in) = (Source::read(folder)?.hash(), Source::committed().hash());
        if found != built_in {
            return Err(PolicyError::NotTheBuiltIn {
                folder: folder.to_owned(),
                built_in,
                found,
            });
        }
        Ok(Policy::built_in())
    }

    /// The committed set, decided by the built-in table.
    pub fn built_in() -> Policy {
        Policy::new(Source::committed().hash(), Engine::Table)
    }

    fn new(hash: [u8; 32], engine: Engine) -> Policy {
        Policy {
            hash,
            engine,
            answers: Answers::new(ANSWERS_MAX),
        }
    }

    /// Names the set: SHA-256 over its files.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Decides. What no policy permits is denied; a forbidding policy outweighs all others.
    ///
    /// # Errors
    /// [`Denied`], with the ids of the policies that decided.
    pub fn decide(&self, question: &Question) -> Result<Approved, Denied> {
        let policy_hash = self.hash;
        match self
            .answers
            .get_or_judge(question, |question| self.judge(question))
        {
            Verdict::Permitted(reason) => Ok(Approved::new(policy_hash, question, reason)),
            Verdict::Refused(reason) => Err(Denied {
                policy_hash,
                reason,
            }),
        }
    }

    fn judge(&self, question: &Question) -> Verdict {
        match &self.engine {
            Engine::Table => table::judge(question),
            #[cfg(feature = "cedar")]
            Engine::Cedar(cedar) => cedar.judge(question),
        }
    }
}
