//! Verdicts given before. A decision costs as much as a P-256 signature, and clients repeat
//! themselves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::decision::Verdict;
use crate::question::Question;

/// At most `2 * half` verdicts in two generations: when the young one is full it becomes the old
/// one, and the old one is forgotten. What is asked often moves on to each new generation.
///
/// The key is the whole question. A policy may look at every part of it, so a narrower key would
/// give one question the answer of another.
#[derive(Debug)]
pub(crate) struct Answers {
    half: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Question, Verdict>,
    old: HashMap<Question, Verdict>,
}

impl Answers {
    pub(crate) fn new(at_most: usize) -> Answers {
        Answers {
            half: at_most / 2,
            generations: Mutex::default(),
        }
    }

    pub(crate) fn get_or_judge(
        &self,
        question: &Question,
        judge: impl FnOnce(&Question) -> Verdict,
    ) -> Verdict {
        if let Some(verdict) = self.find(question) {
            return verdict;
        }
        // Judged without the lock: others need not wait for this one.
        let verdict = judge(question);
        self.lock()
            .insert(self.half, question.clone(), verdict.clone());
        verdict
    }

    fn find(&self, question: &Question) -> Option<Verdict> {
        let mut generations = self.lock();
        if let Some(verdict) = generations.young.get(question) {
            return Some(verdict.clone());
        }
        let (question, verdict) = generations.old.remove_entry(question)?;
        generations.insert(self.half, question, verdict.clone());
        Some(verdict)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // Nobody can panic between two changes that belong together.
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    fn insert(&mut self, half: usize, question: Question, verdict: Verdict) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, verdict);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::decision::Denial;
    use crate::question::{Client, Context, Hour, KeyClass, Payload, Role};

    fn question(batch: u32) -> Question {
        Question {
            client: Client::new(Role::Issuer, "uid:1").unwrap(),
            spki: [0; 32],
            class: KeyClass::Issuer,
            payload: Payload::CredentialClaims,
            context: Context {
                hour: Hour::of(0),
                batch: NonZeroU32::new(batch).unwrap(),
                approvals: 0,
            },
        }
    }

    #[test]
    fn a_question_is_judged_once() {
        let answers = Answers::new(8);
        let verdict = Verdict::Refused(Denial::NotPermitted);
        assert_eq!(
            answers.get_or_judge(&question(1), |_| verdict.clone()),
            verdict
        );
        let again = answers.get_or_judge(&question(1), |_| panic!("judged twice"));
        assert_eq!(again, verdict);
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_asked_often() {
        let answers = Answers::new(8);
        let verdict = |_: &Question| Verdict::Refused(Denial::NotPermitted);
        for batch in 1..1_000 {
            answers.get_or_judge(&question(1), |question| {
                assert_eq!(batch, 1, "a question asked each time was forgotten");
                verdict(question)
            });
            answers.get_or_judge(&question(batch), verdict);
            assert!(answers.len() <= 8);
        }
    }
}
