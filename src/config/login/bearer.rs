//! `auth` with a token: which tokens let in.

use std::path::Path;

use super::super::auth::{BearerConfig, TokenKey};
use super::super::keys::auth::{ALGORITHM, AUDIENCE, COOKIE, KEYFILE, TOKENS, TYPE};
use super::super::reader::Reader;

/// Reads which tokens let in. Relative paths begin at `base`.
pub(super) fn read(reader: &Reader, base: &Path) -> Option<BearerConfig> {
    if reader.built.auth && !reader.built.bearer {
        let message = "this ouistiti was built without tokens (feature 'bearer')";
        reader.error(&TYPE, message);
    }
    let tokens = reader.text(&TOKENS).map(|path| base.join(path));
    let has_key = reader.sets(&ALGORITHM) || reader.sets(&KEYFILE);
    if tokens.is_none() && !has_key {
        reader.missing(&TOKENS);
        return None;
    }
    let key = match has_key {
        true => Some(key(reader, base)?),
        false => None,
    };
    let audiences = reader.words(&AUDIENCE).unwrap_or_default();
    if key.is_none() && !audiences.is_empty() {
        let message = "'audience' has no effect: the tokens of a file are for nobody else";
        reader.report.warning(reader.span(&AUDIENCE), message);
    }
    let cookie = reader.text(&COOKIE).unwrap_or_default();
    if cookie.contains(|c: char| !c.is_ascii_graphic() || ";,=\"".contains(c)) {
        reader.error(&COOKIE, "'cookie' is not the name of a cookie");
    }
    Some(BearerConfig {
        key,
        tokens,
        audiences,
        cookie,
    })
}

fn key(reader: &Reader, base: &Path) -> Option<TokenKey> {
    let algorithm = reader.needed(&ALGORITHM);
    let path = reader.needed(&KEYFILE).map(|path| base.join(path));
    match (algorithm?.as_str(), path) {
        ("HS256", Some(path)) => Some(TokenKey::Hs256(path)),
        ("ES256", Some(path)) => Some(TokenKey::Es256(path)),
        ("HS256" | "ES256", None) => None,
        (other, _) => {
            let message = format!("'algorithm' is \"HS256\" or \"ES256\", not \"{other}\"");
            reader.error(&ALGORITHM, message);
            None
        }
    }
}
