//! Tariffs at a console: compiled, and asked what a ride costs.

use std::path::{Path, PathBuf};

use clap::Args;
use obol_console::{Mode, Outcome, write_new_atomically};
use obol_credential::UnixTime;
use obol_fare::{Boarding, FarePack, Zone, price};
use obol_platform::compile_tariff;

#[derive(Args)]
pub(crate) struct Options {
    /// The tariff (TOML); policies/tariffs/city.toml of the release explains every key.
    tariff: PathBuf,
    /// Where to write the fare pack; must not exist.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Say what a ride of this class costs, 0 to 31.
    #[arg(long, value_parser = clap::value_parser!(u8).range(..32), requires = "at")]
    class: Option<u8>,
    /// In this zone, 0 to 63, 0 for none.
    #[arg(long, value_parser = clap::value_parser!(u8).range(..64), default_value_t = 0)]
    zone: u8,
    /// At this time, seconds since 1970 UTC.
    #[arg(long, requires = "class")]
    at: Option<u32>,
}

pub(crate) fn tariff(options: &Options) -> miette::Result<Outcome> {
    let pack = compile_tariff(&options.tariff)?;
    if let Some(out) = &options.out {
        write(out, &pack)?;
    }
    let (id, length) = (pack.id(), pack.bytes().len());
    match (options.class, options.at, Zone::new(options.zone)) {
        (Some(class), Some(at), Some(zone)) => {
            let at = UnixTime(at);
            Ok(say_fare(&pack, Boarding { class, zone, at }))
        }
        _ => {
            let (rules, transfers) = (pack.rules().len(), pack.transfers().len());
            println!("fare pack {id}: {length} bytes, {rules} fares, {transfers} transfers");
            Ok(Outcome::Done)
        }
    }
}

fn write(out: &Path, pack: &FarePack) -> miette::Result<()> {
    write_new_atomically(out, pack.bytes(), Mode::Public)?;
    Ok(())
}

fn say_fare(pack: &FarePack, boarding: Boarding) -> Outcome {
    match price(pack, boarding) {
        Ok(quote) => {
            let (rule, minor) = (quote.fare.rule.0, quote.fare.amount_minor);
            let transfer = quote.transfer.map_or("none".to_owned(), |transfer| {
                let (id, within_s) = (transfer.id.0, transfer.within_s);
                format!("{id} within {within_s} s, {} times", transfer.most)
            });
            println!(
                "{minor} {} by rule {rule}, transfer {transfer}",
                pack.currency()
            );
            Outcome::Done
        }
        Err(unknown) => {
            println!("FARE_UNKNOWN: {unknown}");
            Outcome::Refused
        }
    }
}
