//! Reads how clients share one connection to a backend: `share`, and what goes with it.

use std::time::Duration;

use glob::Pattern;

use super::choices::SHARES;
use super::endpoint::Target;
use super::keys::websocket::{KEEP, LINGER, REPLAY, SHARE};
use super::reader::Reader;
use super::service::{ServiceConfig, Share, SharingConfig};

/// Reads the keys of a link.
pub(super) fn read(reader: &Reader) -> SharingConfig {
    SharingConfig {
        share: reader.choice(&SHARE, &SHARES),
        replay: reader.size(&REPLAY),
        linger: Duration::from_secs(reader.count(&LINGER).into()),
        keep: reader.flag(&KEEP),
    }
}

/// Notes what cannot go together in a link, and what has no effect.
pub(super) fn check(reader: &Reader, origin: &Pattern, target: &Target, service: &ServiceConfig) {
    let sharing = &service.sharing;
    let asks = !matches!(sharing.share, Share::Auto | Share::None);
    if asks && !reader.built.share {
        let message = "this ouistiti was built without shared backends (feature 'share')";
        return reader.error(&SHARE, message);
    }
    if asks && *target == Target::Status {
        return reader.error(&SHARE, "'share' is not for links of type \"status\"");
    }
    if asks && service.direct {
        let message = "'share' cannot go with 'direct', where the backend gets each client's own \
             socket; set options = \"\" in this link";
        return reader.error(&SHARE, message);
    }
    let is_shared = sharing.share.of(target).is_some();
    for key in [&REPLAY, &LINGER, &KEEP] {
        if reader.sets(key) && !is_shared {
            let message = format!(
                "'{}' needs a shared backend: set share = \"all\", \"newest\" or \"first\"",
                key.name
            );
            reader.error(key, message);
        }
    }
    if sharing.keep && Pattern::escape(origin.as_str()) != origin.as_str() {
        let message = "'keep' needs an 'origin' that is a name: the names that a glob matches are \
             not known before somebody asks for one";
        reader.error(&KEEP, message);
    }
}
