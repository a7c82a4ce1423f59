//! The registry of keys, as commands.

mod acts;
pub(crate) mod arguments;
mod copies;
mod entries;
mod inventory;
mod shown;

use obol_console::{Outcome, unix_now};
use obol_credential::UnixTime;

use crate::failure::Failure;
use arguments::{Keys, Verb};
pub(crate) use entries::random_id;

pub(crate) fn run(command: &Keys) -> Result<Outcome, Failure> {
    match command {
        Keys::Init(arguments) => entries::init(arguments),
        Keys::List(arguments) => inventory::list(arguments),
        Keys::Show(arguments) => inventory::show(arguments),
        Keys::Generate(arguments) => entries::generate(arguments),
        Keys::Register(arguments) => entries::register(arguments),
        Keys::Certify(arguments) => entries::certify(arguments),
        Keys::Publish(arguments) => entries::publish(arguments),
        Keys::Request(arguments) => acts::request(arguments),
        Keys::Activate(arguments) => acts::activate(arguments),
        Keys::Retire(arguments) => acts::act(Verb::Retire, arguments),
        Keys::Suspend(arguments) => acts::act(Verb::Suspend, arguments),
        Keys::Compromise(arguments) => acts::act(Verb::Compromise, arguments),
        Keys::Destroy(arguments) => acts::destroy(arguments),
        Keys::Cancel(arguments) => acts::act(Verb::Cancel, arguments),
        Keys::Alarms(arguments) => inventory::alarms(arguments),
        Keys::Examine(arguments) => copies::examine(arguments),
        Keys::Backup(arguments) => copies::backup(arguments),
        Keys::Restore(arguments) => copies::restore(arguments),
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime(unix_now())
}
