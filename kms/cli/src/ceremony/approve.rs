//! What officers approve, and their signatures.

use obol_console::{Mode, Outcome, read_limited, unix_now, utc_text, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms_ceremony::{
    Approval, CeremonyId, PLAN_MAX, Plan, Rehearsed, STATEMENT_MAX, Statement, TRANSCRIPT_MAX,
    to_sentence,
};

use crate::ceremony::arguments::{Approve, Request};
use crate::ceremony::asked;
use crate::ceremony::bundle::rosters;
use crate::failure::Failure;
use crate::failure::ceremony::OtherPlan;
use crate::failure::registry::{NotARequest, RequestExpired};
use crate::officer::key_file::OfficerSecret;
use crate::output::must_be_free;

pub(super) fn request(arguments: &Request) -> Result<Outcome, Failure> {
    let Request {
        plan,
        rosters: given,
        rehearsal,
        valid_for,
        out,
    } = arguments;
    must_be_free(out)?;
    let (chain, _) = rosters(given)?;
    let plan = Plan::parse(&read_limited(plan, PLAN_MAX)?)?;
    let roster = chain.in_force();
    let bytes = read_limited(&rehearsal.join("transcript"), TRANSCRIPT_MAX)?;
    let rehearsed = Rehearsed::read(&plan, roster, &bytes)?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        Failure::with_help(error, "the system's random generator does not answer")
    })?;
    let statement = Statement {
        roster: roster.hash(),
        plan: plan.hash(),
        id: CeremonyId(id),
        serials: plan.serials(),
        tool: plan.environment().tool,
        rehearsal: rehearsed.head(),
        not_after: UnixTime(unix_now()).plus(*valid_for),
    };
    write_new_atomically(out, &statement.encode(), Mode::Public)?;
    println!("ceremony {} {}", statement.id, out.display());
    Ok(Outcome::Done)
}

pub(super) fn approve(arguments: &Approve) -> Result<Outcome, Failure> {
    let Approve {
        request,
        plan,
        key,
        out,
    } = arguments;
    must_be_free(out)?;
    let bytes = read_limited(request, STATEMENT_MAX)?;
    let statement = Statement::decode(&bytes).map_err(|source| NotARequest {
        path: request.clone(),
        source,
    })?;
    let plan = Plan::parse(&read_limited(plan, PLAN_MAX)?)?;
    if plan.hash() != statement.plan {
        let (found, wanted) = (plan.hash(), statement.plan);
        return Err(OtherPlan { found, wanted }.into());
    }
    if statement.not_after < UnixTime(unix_now()) {
        return Err(RequestExpired(statement.not_after).into());
    }
    show(&plan, &statement);
    asked::confirmed("Your signature lets this run once.")?;
    let secret = OfficerSecret::read(key)?;
    let signature = secret.sign(&statement.encode());
    let approval = Approval::new(&statement, secret.public(), signature);
    write_new_atomically(out, &approval.encode(), Mode::Public)?;
    println!("approved ceremony {} {}", statement.id, out.display());
    Ok(Outcome::Done)
}

fn show(plan: &Plan, statement: &Statement) {
    eprintln!("{} ({})", plan.title(), plan.act());
    for (number, step) in plan.steps().iter().enumerate() {
        eprintln!("  {}. {}", number + 1, to_sentence(step).0);
    }
    eprintln!("plan {}", statement.plan);
    for line in statement.plan.words().to_string().lines() {
        eprintln!("  {line}");
    }
    eprintln!("ceremony {}", statement.id);
    eprintln!("roster {}", statement.roster);
    eprintln!("tokens {}", statement.serials.join(" "));
    eprintln!("program {}", statement.tool);
    eprintln!("rehearsal {}", statement.rehearsal);
    eprintln!("until {}", utc_text(statement.not_after.0));
}
