pub(crate) use obol_pos_sdk::TerminalFolder as Folder;

use obol_pos_sdk::Provisioning;
use obol_transport::{Identity, TrustAnchor};

use crate::enrol;

/// What mutual TLS needs: whom to believe, and who the terminal is.
pub(crate) fn credentials(provisioning: &Provisioning) -> miette::Result<(TrustAnchor, Identity)> {
    enrol::finish(provisioning)?;
    let anchor = TrustAnchor::load(&provisioning.access)?;
    let identity = Identity::load(&provisioning.certificate, &provisioning.key)?;
    Ok((anchor, identity))
}
