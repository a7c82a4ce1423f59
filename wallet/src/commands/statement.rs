use std::path::Path;

use obol_console::{Outcome, unix_now, utc_text};
use obol_wallet::{Statement, Wallet};

use super::{Amount, Output, json, plain, renew_if_told};

pub(crate) async fn statement(folder: &Path, output: Output) -> miette::Result<Outcome> {
    let mut wallet = Wallet::open(folder)?;
    wallet.passenger()?;
    let statement = wallet.platform(unix_now)?.statement().await?;
    match output {
        Output::Json => println!("{}", json(&statement)),
        Output::People => print!("{}", table(&statement)),
    }
    renew_if_told(&mut wallet, &statement.renew, output).await;
    Ok(Outcome::Done)
}

fn table(statement: &Statement) -> String {
    let mut text = format!(
        "account {}, {}\n",
        statement.account,
        plain(&statement.currency)
    );
    text.push_str(&row("", "opening balance", "", statement.opening_minor, ""));
    for line in &statement.lines {
        let amount = Amount::of_minor(line.amount_minor).to_string();
        let (at, kind) = (utc_text(line.at), plain(&line.kind));
        let mut reference = plain(&line.reference);
        if let Some(fare) = &line.fare {
            reference.push_str(&format!("  rule {}", fare.rule));
        }
        text.push_str(&row(&at, &kind, &amount, line.balance_minor, &reference));
    }
    text.push_str(&row("", "closing balance", "", statement.closing_minor, ""));
    text
}

fn row(at: &str, kind: &str, amount: &str, balance_minor: i64, reference: &str) -> String {
    let balance = Amount::of_minor(balance_minor);
    let row = format!("{at:20}  {kind:15}  {amount:>10}  {balance:>10}  {reference}");
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use obol_wallet::{FareApplied, Line};

    #[test]
    fn a_statement_reads_from_the_opening_to_the_closing_balance() {
        let ride = Line {
            at: 1_800_000_000,
            kind: "ride".to_owned(),
            amount_minor: -200,
            balance_minor: 4_800,
            reference: "bus-7\x1b[2J".to_owned(),
            fare: Some(FareApplied {
                pack: "0102030405060708".to_owned(),
                rule: 91,
            }),
        };
        let statement = Statement {
            account: 17,
            currency: "CNY".to_owned(),
            opening_minor: 5_000,
            lines: vec![ride],
            closing_minor: 4_800,
            renew: Vec::new(),
        };
        let expected = "\
account 17, CNY
                      opening balance                   50.00
2027-01-15 08:00:00Z  ride                  -2.00       48.00  bus-7?[2J  rule 91
                      closing balance                   48.00
";
        assert_eq!(table(&statement), expected);
    }
}
