//! Settings of the C gateway that are not keys here: those without effect, with what to do instead
//! where there is something, and those that keep people out there.

/// A name, and what to do instead; empty if there is nothing to say.
pub(crate) type Foreign = (&'static str, &'static str);

/// In every section: files have them in several places.
pub(crate) const ANYWHERE: &[Foreign] = &[
    ("services", ""),
    ("service", ""),
    ("forward", ""),
    ("signature", ""),
    ("maxservers", ""),
    ("static_file", "'document' serves files"),
    ("mbedtls", "certificates stand in 'tls'"),
    ("pers", ""),
    ("keepalive", "see 'keepalivetimeout'"),
    ("chunksize", ""),
    ("version", ""),
    ("transfer_type", ""),
    ("accepted_ext", "see 'allow' of websocket"),
    ("ignored_ext", "see 'deny' of websocket"),
];

/// At the top of the file.
pub(super) const FILE: &[Foreign] = &[
    ("mimetypes", "content types are built in"),
    ("modules", "nothing is loaded"),
    ("createconfig", ""),
];

/// In an element of `servers`.
pub(super) const SERVER: &[Foreign] = &[
    ("cgi", ""),
    ("python", ""),
    ("redirect", ""),
    ("redirect404", ""),
    ("error_redirection", ""),
    ("cors", "see 'origins' of websocket"),
    ("cookie", ""),
    ("upgrade", ""),
    ("vhost", "give the host a server of its own"),
    ("vhosts", "give the host a server of its own"),
    ("webstream", ""),
    ("filestorage", "'document' serves files, for reading"),
    ("mdns", ""),
    ("tinysvcmdns", ""),
    ("versions", ""),
    ("security", ""),
    ("methodlock", ""),
    ("unlock_groups", ""),
];

/// In an element of `servers`: they keep people out, and are errors unless `ignore` names them.
pub(super) const REFUSED: &[&str] = &["authz", "authn", "clientfilter", "userfilter"];

/// In `websocket`.
pub(super) const WEBSOCKET: &[Foreign] = &[("server", "name a server outside docroot in 'links'")];

/// In `auth`.
pub(super) const AUTH: &[Foreign] = &[
    ("opaque", ""),
    ("status", ""),
    ("options", ""),
    ("expire", ""),
    ("issuer", ""),
    (
        "mode",
        "'proxy' of websocket tells backends the user, and programs have REMOTE_USER",
    ),
    (
        "dbname",
        "websocket_jsonrpc with authrpc reads it: type = \"rpc\"",
    ),
    ("secret", "it stands in a file: 'keyfile'"),
    (
        "token_ep",
        "type = \"forward\" sends people to a page that logs in",
    ),
];

/// In `document`.
pub(super) const DOCUMENT: &[Foreign] = &[
    ("allow", "every file beneath docroot is served"),
    ("deny", "every file beneath docroot is served"),
    ("denylast", "every file beneath docroot is served"),
    (
        "options",
        "ranges are always served, directories are never listed, nothing is written",
    ),
    ("maxsize", ""),
    ("dochome", ""),
    ("dirhome", ""),
];
