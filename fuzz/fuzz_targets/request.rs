//! The request head, from bytes to the answer (`request`, `handshake`, `access`, `response`): what
//! is accepted keeps every rule, only services of docroot are found, and no answer has a byte of
//! the client's but the chosen subprotocol.
#![no_main]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ouistiti::parts::client::Client;
use ouistiti::parts::config::{self, Target, WebsocketConfig};
use ouistiti::parts::http::{self, Refusal, Request, inspect};
use ouistiti::parts::websocket::{self, Upgrade};
use ouistiti_fuzz::Random;

/// Longest head, in bytes: the buffer that is read into ends there.
const MAX_HEAD: usize = 16384;

/// The names that lead somewhere, with the file they lead to.
const SERVED: [(&str, &str); 5] = [
    ("echo", "echo"),
    ("inside", "echo"),
    ("dir/chat", "dir/chat"),
    ("in-dir/chat", "dir/chat"),
    ("link_1", ""),
];

struct World {
    docroot: PathBuf,
    websocket: WebsocketConfig,
    client: Client,
    far: UnixStream,
}

/// A docroot with sockets, and what must not be reached through it.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/request");
        let _ = fs::remove_dir_all(&base);
        let docroot = base.join("docroot");
        fs::create_dir_all(docroot.join("dir")).expect("a directory");
        let before = std::env::current_dir().expect("a directory");
        // Relative: a socket's path has 107 bytes at most.
        std::env::set_current_dir(&docroot).expect("a directory");
        for path in ["echo", "secret", "dir/chat", "dir/secret", "../outside"] {
            // The file stays when the listener goes.
            drop(UnixListener::bind(path).expect("a socket"));
        }
        std::env::set_current_dir(before).expect("a directory");
        fs::write(docroot.join("file"), "").expect("a file");
        for (name, to) in [
            ("inside", "echo"),
            ("in-dir", "dir"),
            ("out", "../outside"),
            ("up", ".."),
            ("root", "/"),
            ("loop", "loop"),
        ] {
            symlink(to, docroot.join(name)).expect("a link");
        }
        let text = format!(
            "servers = ({{ websocket = {{ docroot = \"{}\"; deny = \"*secret\"; \
             origins = \"*.lan\"; protocols = \"chat,superchat\"; links = ({{ \
             origin = \"link_1\"; type = \"unix\"; destination = \"/run/x\"; }}); }}; }});",
            docroot.display()
        );
        let (config, _) = config::from_text(Path::new("fuzz.conf"), &text).expect("it is good");
        let (near, far) = UnixStream::pair().expect("a pair");
        World {
            docroot: fs::canonicalize(docroot).expect("it is there"),
            websocket: config.servers[0].websocket.clone().expect("a websocket"),
            client: Client::plain(TcpStream::from(OwnedFd::from(near))),
            far,
        }
    })
}

/// What a client gets.
fn answer(write: impl FnOnce(&Client) -> std::io::Result<()>) -> String {
    let world = world();
    write(&world.client).expect("there is room for an answer");
    let mut buffer = [0; 4096];
    (world.far).set_nonblocking(true).expect("a socket");
    let count = (&world.far).read(&mut buffer).expect("an answer");
    assert!(count < buffer.len(), "an answer is short");
    String::from_utf8(buffer[..count].to_vec()).expect("text")
}

/// The same refusal with nothing in it that a client sent.
fn blank(refusal: &Refusal) -> Refusal {
    let no = String::new;
    match refusal {
        Refusal::Malformed(rule) => Refusal::Malformed(rule),
        Refusal::Repeated(name) => Refusal::Repeated(name),
        Refusal::Body => Refusal::Body,
        Refusal::BadName(_) => Refusal::BadName(no()),
        Refusal::BadKey(_) => Refusal::BadKey(no()),
        Refusal::BadProtocol(_) => Refusal::BadProtocol(no()),
        Refusal::NotAllowed(_) => Refusal::NotAllowed(no()),
        Refusal::OriginNotAllowed(_) => Refusal::OriginNotAllowed(no()),
        Refusal::NoService(_) => Refusal::NoService(no()),
        Refusal::Away(_) => Refusal::Away(no()),
        Refusal::BadMethod(_, allowed) => Refusal::BadMethod(no(), allowed),
        Refusal::NotAnUpgrade => Refusal::NotAnUpgrade,
        Refusal::BadVersion(_) => Refusal::BadVersion(no()),
        Refusal::TargetTooLong => Refusal::TargetTooLong,
        Refusal::HeadTooLarge => Refusal::HeadTooLarge,
        Refusal::TooManyHeaders => Refusal::TooManyHeaders,
        other => panic!("a head alone cannot cause {other:?}"),
    }
}

fn refused(refusal: &Refusal) {
    let told = answer(|client| http::refuse(client, refusal));
    let wanted = answer(|client| http::refuse(client, &blank(refusal)));
    assert_eq!(told, wanted, "an answer with bytes of the client's");
    let log = refusal.to_string();
    assert!(
        !log.chars().any(char::is_control),
        "a log line with control characters: {log:?}"
    );
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && (text.bytes())
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The rules of RFC 9112 that a head must have kept, read from its bytes again.
fn check_head(head: &[u8], request: &Request) {
    let text = head
        .strip_suffix(b"\r\n\r\n")
        .expect("an empty line ends it");
    assert!(!text.contains(&0));
    let text = String::from_utf8_lossy(text);
    let mut lines = text.trim_start_matches("\r\n").split("\r\n");
    let line = lines.next().expect("a request line");
    let words: Vec<_> = line.split(' ').collect();
    assert!(
        matches!(words[..], [_, _, "HTTP/1.0" | "HTTP/1.1"]),
        "{line:?}"
    );
    assert!(is_token(&request.method) && request.method == words[0]);
    assert!(request.path.starts_with('/') && !request.path.contains('\0'));
    assert!(request.target.starts_with('/') && !request.target.contains(['#', ' ']));
    let fields: Vec<_> = lines.collect();
    assert_eq!(fields.len(), request.headers.len());
    assert!(fields.len() <= 128);
    for (field, (name, value)) in fields.iter().zip(&request.headers) {
        assert!(!field.contains(['\r', '\n']), "{field:?}");
        assert!(is_token(name), "{name:?}");
        assert_eq!(
            field.split_once(':').map(|(name, _)| name),
            Some(name.as_str())
        );
        assert_eq!(field[name.len() + 1..].trim_matches([' ', '\t']), value);
    }
    let count = |name| request.headers(name).count();
    assert_eq!(count("Transfer-Encoding"), 0);
    assert!(count("Content-Length") <= 1 && count("Host") <= 1);
    if let Some(length) = request.header("Content-Length") {
        assert_eq!(length.parse::<u128>().unwrap_or(0), 0, "content is refused");
    }
    if request.version_minor == 1 {
        assert_eq!(count("Host"), 1);
    }
}

/// The rules of RFC 6455, section 4.2.1.
fn check_upgrade(request: &Request, upgrade: &Upgrade) {
    assert_eq!((request.method.as_str(), request.version_minor), ("GET", 1));
    assert!(request.has_token("Upgrade", "websocket"));
    assert!(request.has_token("Connection", "upgrade"));
    assert_eq!(request.header("Sec-WebSocket-Version"), Some("13"));
    assert!(!request.host.is_empty());
    let key = request.header("Sec-WebSocket-Key").expect("a key");
    let wanted = tungstenite::handshake::derive_accept_key(key.as_bytes());
    assert_eq!(upgrade.accept_key, wanted);
    let different: BTreeSet<_> = upgrade.protocols.iter().collect();
    assert_eq!(different.len(), upgrade.protocols.len());
    assert!(upgrade.protocols.iter().all(|protocol| is_token(protocol)));
}

fn serve(request: &Request) -> Result<(), Refusal> {
    let upgrade = websocket::check(request)?;
    check_upgrade(request, &upgrade);
    let world = world();
    let service = websocket::resolve(&world.websocket, request, &upgrade, false)?;
    let served = SERVED.iter().find(|(name, _)| *name == service.name);
    let (_, file) = served.unwrap_or_else(|| panic!("{} is served", service.name));
    match &service.target {
        Target::Unix(path) if file.is_empty() => assert_eq!(path, Path::new("/run/x")),
        Target::Unix(path) => {
            let found = fs::read_link(path).expect("an open file");
            assert_eq!(found, world.docroot.join(file));
        }
        other => panic!("{other:?} is served"),
    }
    let protocol = service.protocol.as_deref();
    if let Some(protocol) = protocol {
        assert!(upgrade.protocols.iter().any(|offer| offer == protocol));
        assert!(protocol == "chat" || protocol == "superchat" || service.name.ends_with(protocol));
    }
    let line = protocol.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
    assert_eq!(
        answer(|client| websocket::switching_protocols(client, &upgrade, protocol)),
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{}\r\n",
            upgrade.accept_key,
            line.unwrap_or_default()
        )
    );
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
    let whole = inspect(bytes);
    let mut random = Random::of(bytes);
    for _ in 0..4 {
        let cut = random.below(bytes.len() + 1);
        match (inspect(&bytes[..cut]), &whole) {
            (Ok(None), Ok(Some((end, _)))) => assert!(cut < *end, "whole, and not seen"),
            (Ok(Some((early, _))), Ok(Some((end, _)))) => assert_eq!(early, *end),
            (Ok(None), _) => {}
            (Err(_), Err(_)) => {}
            (cut, whole) => panic!("{cut:?} of a part, {whole:?} of all"),
        }
    }
    match whole {
        Ok(None) => {}
        Ok(Some((end, request))) => {
            check_head(&bytes[..end], &request);
            if let Err(refusal) = serve(&request) {
                refused(&refusal);
            }
        }
        Err(refusal) => refused(&refusal),
    }
});
