//! The keys of the `auth` section.

use super::super::choices::{AuthType, PROXIES};
use super::super::schema::{Key, NEEDED, Section, words};
use super::foreign;

/// The `auth` section.
pub(crate) static AUTH_SECTION: Section = Section {
    name: "auth",
    keys: &[
        &TYPE, &REALM, &FILE, &USER, &PASSWD, &GROUP, &HOME, &ADDRESS, &PROXY, &PATH, &TOKENS,
        &ALGORITHM, &KEYFILE, &AUDIENCE, &COOKIE, &SUBJECT, &PROTECT, &UNPROTECT, &GROUPS,
    ],
    foreign: foreign::AUTH,
    ..Section::EMPTY
};

/// Keys that only some types have.
pub(crate) static OF_TYPES: [(&Key, &[AuthType]); 14] = [
    (&FILE, &[AuthType::Basic]),
    (&USER, &[AuthType::Basic, AuthType::None]),
    (&PASSWD, &[AuthType::Basic]),
    (&GROUP, &[AuthType::Basic]),
    (&HOME, &[AuthType::Basic]),
    (&ADDRESS, &[AuthType::Rpc, AuthType::Forward]),
    (&PROXY, &[AuthType::Rpc]),
    (&PATH, &[AuthType::Forward]),
    (&TOKENS, &[AuthType::Bearer]),
    (&ALGORITHM, &[AuthType::Bearer]),
    (&KEYFILE, &[AuthType::Bearer]),
    (&AUDIENCE, &[AuthType::Bearer]),
    (&COOKIE, &[AuthType::Bearer]),
    (&SUBJECT, &[AuthType::Certificate]),
];

pub(crate) static TYPE: Key = Key::optional(
    "type",
    "How people log in: \"Basic\" asks for a user and a password (RFC 7617), \"rpc\" does too and \
     has websocket_jsonrpc with authrpc check them, \"forward\" asks another program about each \
     request, \"Bearer\" wants a token (RFC 6750) in the header Authorization, in the parameter \
     access_token of the query or in a cookie, \"certificate\" wants a client certificate \
     (clientauth of tls), whose common name then is the user, \"None\" asks for nothing, which \
     opens a part of a server that has a login. Other types of the C gateway are an error.",
)
.absent(NEEDED, "Basic");
pub(crate) static REALM: Key = Key::text(
    "realm",
    "ouistiti",
    "What browsers show when they ask for the password.",
);
pub(crate) static FILE: Key = Key::optional(
    "file",
    "File of the users, read at the start and at a reload. A line is user:password:groups:home; \
     the password is clear or a hash: crypt(5) $1$, $5$ or $6$, as openssl-passwd(1) makes them, \
     the C gateway's $a1$, $a5$ or $a6$, or $argon2id$ in builds with it. A line of shadow(5) will \
     do too; locked accounts stay out.",
)
.absent("'user' and 'passwd'", "/etc/ouistiti/users");
pub(crate) static USER: Key =
    Key::optional("user", "The only user, instead of 'file'.").absent("those of 'file'", "admin");
pub(crate) static PASSWD: Key = Key::optional(
    "passwd",
    "The password of 'user', in one of the forms of 'file'.",
)
.absent("none", "$5$SALT$HASH");
pub(crate) static GROUP: Key =
    Key::optional("group", "The groups of 'user', between commas.").absent("none", "admins");
pub(crate) static HOME: Key = Key::optional(
    "home",
    "Accepted for the sake of old files and unused: every user has the same docroot.",
)
.absent("none", "/home/admin");
pub(crate) static ADDRESS: Key = Key::optional(
    "address",
    "Where the program listens that is asked: unix:PATH or HOST:PORT. What it does not answer within \
     2 seconds is refused with 503.",
)
.absent("none", "unix:/var/run/ouistiti/auth");
pub(crate) static PROXY: Key = Key::choice(
    "proxy",
    "v2",
    &words(&PROXIES),
    "Header that websocket_jsonrpc gets before each question, which needs its option -P. It has the \
     client's address, so that those who guess keep no other waiting.",
);
pub(crate) static PATH: Key = Key::text(
    "path",
    "/",
    "What of the program is asked for. It gets a GET with the headers of the request, and with \
     X-Forwarded-Method, -Proto, -Host, -Uri and -For, and answers 2xx with Remote-User and \
     Remote-Groups, or 401, 403, 429 or a redirect, which goes back to the client.",
);
pub(crate) static TOKENS: Key = Key::optional(
    "tokens",
    "File of tokens, read as 'file' is. A line is TOKEN:USER:GROUPS; the token has 16 \
     letters, digits or -._~+/ or more, or is $a5$ and the base64 of its SHA-256.",
)
.absent("only JSON Web Tokens let in", "/etc/ouistiti/tokens");
pub(crate) static ALGORITHM: Key = Key::optional(
    "algorithm",
    "How JSON Web Tokens are signed that let in: \"HS256\" or \"ES256\". Each needs a time of its \
     end ('exp') and a user ('sub'), and may have a beginning ('nbf'), 'aud' and 'groups'.",
)
.absent("only the tokens of 'tokens' let in", "HS256");
pub(crate) static KEYFILE: Key = Key::optional(
    "keyfile",
    "File of the secret of HS256, at least 32 bytes, or the public key of ES256 as PEM. It is \
     read as 'file' is.",
)
.absent("none", "/etc/ouistiti/secret");
pub(crate) static AUDIENCE: Key = Key::words(
    "audience",
    None,
    "Names, between commas, one of which a JSON Web Token must be for ('aud').",
)
.absent("a token that is for somebody lets nobody in", "router");
pub(crate) static COOKIE: Key = Key::text(
    "cookie",
    "access_token",
    "Name of the cookie that is a token.",
);
pub(crate) static SUBJECT: Key = Key::text(
    "subject",
    "*",
    "Glob of the subjects of client certificates that may come in, in the form CN=anna,O=example.",
);
pub(crate) static PROTECT: Key = Key::words(
    "protect",
    None,
    "Globs of paths, between commas, that need a login, with all that lies beneath them; all others \
     do not. A path listed here needs it even where 'unprotect' lists it too.",
)
.absent("every path needs a login", "/admin");
pub(crate) static UNPROTECT: Key = Key::words(
    "unprotect",
    None,
    "Globs of paths, between commas, that need no login: a directory, and what lies beneath it.",
)
.absent("none", "/public,/public/*");
pub(crate) static GROUPS: Key = Key::words(
    "groups",
    None,
    "Groups, between commas: only users in one of them may come in.",
)
.absent("all users may", "admins");
