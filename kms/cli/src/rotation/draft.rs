//! The keys of a plan, from the registry.

use obol_console::Outcome;
use obol_credential::UnixTime;
use obol_kms_registry::rotation::instant;
use obol_kms_registry::{KeyRecord, Registry, Settings, State, certificate_ends};

use crate::failure::Failure;
use crate::rotation::arguments::Draft;

/// What has happened is in the registry. What shall happen, `retired` and `removed`, a person adds.
pub(super) fn draft(arguments: &Draft) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.registry)?;
    let settings = *registry.settings();
    for key in registry.list()?.iter().filter(|key| is_planned(key)) {
        let history = registry.history(key.spki)?;
        let active = history.iter().find(|change| change.to == State::Active);
        print!("{}", table(key, active.map(|change| change.at), &settings));
    }
    Ok(Outcome::Done)
}

fn is_planned(key: &KeyRecord) -> bool {
    let live = matches!(
        key.state,
        State::Published | State::Active | State::Retiring | State::Suspended
    );
    live && key.class.met_by_terminals()
}

fn table(key: &KeyRecord, active: Option<UnixTime>, settings: &Settings) -> String {
    let published = key.published_at.unwrap_or(key.registered_at);
    // One that is only published may be activated after its propagation time at the earliest.
    let activated = active.unwrap_or(published.plus(settings.propagation_s()));
    let mut text = format!(
        "\n# {}: {}\n[[keys]]\nspki = \"{}\"\nclass = \"{}\"\npublished = {}\nactivated = {}\n",
        key.label,
        key.state,
        key.spki,
        key.class,
        instant(published),
        instant(activated)
    );
    if let Some(at) = key.retiring_at {
        text += &format!("retired = {}\n", instant(at));
    }
    if let Some(certificate) = &key.certificate {
        text += &format!("good_until = {}\n", instant(certificate_ends(certificate)));
    }
    text
}
