//! A runbook as a test reads it.

/// The contents of the page's blocks of one kind.
pub(crate) fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let begun = page.split(&fence).skip(1);
    let block = |rest: &str| rest.split_once("```").unwrap().0.to_owned();
    begun.map(block).collect()
}
