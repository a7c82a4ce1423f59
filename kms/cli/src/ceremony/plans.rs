//! Plans before anything is done.

use obol_console::{Mode, Outcome, read_limited, write_new_atomically};
use obol_kms_ceremony::{BUNDLE_FILE_MAX, Hash, PLAN_MAX, Plan, to_html, to_markdown};

use crate::ceremony::arguments::{CheckPlan, HashFile};
use crate::ceremony::bundle::rosters;
use crate::ceremony::say;
use crate::failure::Failure;
use crate::output::must_be_free;

pub(super) fn plan(arguments: &CheckPlan) -> Result<Outcome, Failure> {
    let CheckPlan {
        plan,
        rosters: given,
        markdown,
        html,
    } = arguments;
    for out in [markdown, html].into_iter().flatten() {
        must_be_free(out)?;
    }
    let (chain, _) = rosters(given)?;
    let plan = Plan::parse(&read_limited(plan, PLAN_MAX)?)?;
    let roster = chain.in_force();
    if let Some(out) = markdown {
        write_new_atomically(out, to_markdown(&plan, roster).as_bytes(), Mode::Public)?;
    }
    if let Some(out) = html {
        write_new_atomically(out, to_html(&plan, roster).as_bytes(), Mode::Public)?;
    }
    say("roster", Hash(chain.first().hash().0));
    say("plan", plan.hash());
    Ok(Outcome::Done)
}

pub(super) fn hash(arguments: &HashFile) -> Result<Outcome, Failure> {
    let bytes = read_limited(&arguments.file, BUNDLE_FILE_MAX)?;
    say(&arguments.file.display().to_string(), Hash::of(&bytes));
    Ok(Outcome::Done)
}
