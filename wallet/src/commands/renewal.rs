use miette::Diagnostic;
use obol_console::{two_lines, utc_text};
use obol_wallet::Wallet;
use thiserror::Error;

use super::{Output, fetch};

#[derive(Debug, Error, Diagnostic)]
#[error("terminals refuse the credential, and it was not renewed: {0}")]
#[diagnostic(help("go online again soon: `obol-wallet refresh`"))]
struct NotRenewed(String);

/// Fetches a new credential when the platform has said that the one that is held is refused at the
/// gate. What the person asked for is done by then, so a failure is said and ends nothing; the
/// platform says it again at the next contact.
pub(super) async fn renew_if_told(wallet: &mut Wallet, told: &[String], output: Output) {
    if !wallet.has_to_renew(told) {
        return;
    }
    match (fetch(wallet).await, output) {
        (Ok(expires_at), Output::People) => {
            println!("credential renewed, until  {}", utc_text(expires_at.0));
        }
        (Ok(expires_at), Output::Json) => {
            eprintln!("credential renewed, until  {}", utc_text(expires_at.0));
        }
        (Err(report), _) => {
            let causes: Vec<_> = report.chain().map(ToString::to_string).collect();
            eprintln!("{}", two_lines(&NotRenewed(causes.join(": ")).into()));
        }
    }
}
