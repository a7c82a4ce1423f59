//! What is answered while the tokens of all that is asked for are away.

use obol_credential::{Kid, UnixTime};

use super::{Issued, Issuer, Live, Request};
use crate::issuance::IssueRefused;

impl Issuer {
    /// A key of the request, if the token of each is away.
    pub(super) fn nobody_signs(
        &self,
        request: &Request,
        live: &Live,
        now: UnixTime,
    ) -> Option<Kid> {
        let mut away = None;
        for item in &request.items {
            let shards = &live.shards;
            let shard = shards.of_subject(item.subject, now, self.restored.as_ref())?;
            let kid = shard.certificate.kid();
            if !self.availability.refuses(kid) {
                return None;
            }
            away = Some(kid);
        }
        away
    }

    /// At once, and without a place in a line: what was signed is given again, and nothing is written
    /// down.
    pub(super) async fn answer_without_tokens(
        &self,
        request: &Request,
        away: Kid,
        live: &Live,
        now: UnixTime,
    ) -> Result<Vec<Issued>, IssueRefused> {
        let mut results = vec![Err(IssueRefused::Unavailable); request.items.len()];
        let mut named = Vec::new();
        let fresh = self
            .recall(request, live, now, &mut results, &mut named)
            .await?;
        let all = fresh.len() == results.len();
        for place in fresh {
            results[place] = Err(IssueRefused::TokenAway(away));
        }
        self.metrics.issued(&results);
        if all {
            return Err(IssueRefused::TokenAway(away));
        }
        Ok(results)
    }
}
