#![doc = include_str!("../README.md")]

mod arguments;
mod audit;
mod authorities;
mod backup;
mod ceremony;
mod certify;
mod crl;
mod drill;
mod failure;
#[cfg(test)]
mod help;
mod keys;
mod officer;
mod output;
mod part;
mod probe;
mod rotation;
mod serve;
mod show;
mod tokens;
mod tuf;
mod waiver;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{AccessCa, Arguments, Command, Issuer, Root, Token};
use crate::failure::Failure;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Root(Root::Create(arguments)) => authorities::create_root(&arguments),
        Command::AccessCa(AccessCa::Create(arguments)) => authorities::create_access_ca(&arguments),
        Command::Issuer(Issuer::Create(arguments)) => authorities::create_issuer(&arguments),
        Command::Certify(arguments) => certify::certify(&arguments),
        Command::Crl(command) => crl::run(&command),
        Command::Token(Token::Show(arguments)) => show::show(&arguments),
        Command::Token(Token::BackupDrill(arguments)) => drill::backup_drill(&arguments),
        Command::Token(Token::Prove(arguments)) => drill::prove(&arguments),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Keys(command) => keys::run(&command),
        Command::Rotation(command) => rotation::run(&command),
        Command::Backup(command) => backup::run(&command),
        Command::Waiver(command) => waiver::run(&command),
        Command::Officer(command) => officer::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Ceremony(command) => ceremony::run(&command),
        Command::Tuf(command) => tuf::run(&command),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::CheckConfig(arguments) => serve::check_config(&arguments),
        Command::Worker(arguments) => worker::work(&arguments),
    };
    let code = result.as_ref().err().and_then(Failure::exit_code);
    let general = obol_console::run(result.map_err(Into::into));
    code.unwrap_or(general)
}
