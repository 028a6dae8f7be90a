//! Tests of `websocket`: which backends are waited for.

use super::*;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::http::request::tests::{EXAMPLE, pair, parse};
use crate::listen::binding::Binding;
use crate::server::resources::Resources;
use crate::system::beneath::tests::Scratch;

/// A `websocket` section in whose docroot nothing stands, with a link to a backend.
fn section(scratch: &Scratch, wait: u32, link_wait: u32) -> Binding {
    let text = format!(
        "servers = ({{ websocket = {{ docroot = \"{0}\"; origins = \"*\"; wait = {wait}; \
         links = ({{ origin = \"chat\"; type = \"unix\"; destination = \"{0}/x\"; \
         wait = {link_wait}; }}); }}; }});",
        scratch.0.display()
    );
    let loaded = crate::config::from_text(Path::new("x.conf"), &text);
    let (config, _) = loaded.expect("a good configuration");
    let mut config = config.servers[0].clone();
    config.listen = Vec::new();
    let resources = Arc::<Resources>::default();
    resources.measure(0, 0, 64);
    Binding::open(config, &mut Vec::new(), &mut Vec::new(), &resources).expect("nothing to bind")
}

/// Opens a WebSocket as the server's connection does.
fn open_of(binding: &Binding, request: &Request, client: &Client) -> Result<(), Refusal> {
    let server = binding.server();
    let (config, resources) = (server.config(), server.resources());
    let (_, socket) = pair();
    let slot = Slot::admit(server.clients(), config, resources, &socket, None).expect("a slot");
    let websocket = config.websocket.as_ref().expect("it has one");
    open(server, websocket, &slot, request, client).map(|_| ())
}

#[test]
fn a_link_waits_as_long_as_it_says_itself() {
    let request = parse(EXAMPLE.as_bytes()).expect("a good head");
    let (client, _far) = pair();
    let scratch = Scratch::new();
    let start = Instant::now();
    let config = section(&scratch, 60, 0);
    let refused = open_of(&config, &request, &client);
    assert!(matches!(refused, Err(Refusal::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(30), "at once");

    let config = section(&scratch, 0, 60);
    thread::scope(|scope| {
        let opened = scope.spawn(|| open_of(&config, &request, &client));
        // The backend is away, for a moment.
        thread::sleep(4 * RETRY_PAUSES.1);
        let _backend = UnixListener::bind(scratch.0.join("x")).expect("a free name");
        let opened = opened.join().expect("no panic");
        assert!(opened.is_ok(), "{opened:?}");
    });
}

#[test]
fn only_a_backend_that_is_away_is_waited_for() {
    let (client, _far) = pair();
    let scratch = Scratch::new();
    let config = section(&scratch, 60, 60);
    std::fs::write(scratch.0.join("file"), "").expect("a file");
    std::fs::create_dir(scratch.0.join("directory")).expect("mkdir");
    let start = Instant::now();
    for name in ["ec*o", "a/./b", "..", "file", "directory", ""] {
        let text = EXAMPLE.replace("/chat", &format!("/{name}"));
        let text = text.replace("Sec-WebSocket-Protocol", "X-None");
        let request = parse(text.as_bytes()).expect("a good head");
        let refused = open_of(&config, &request, &client);
        let status = refused.expect_err(name).status();
        assert_eq!(status, 404, "{name}");
    }
    assert!(start.elapsed() < Duration::from_secs(30), "at once");
    let config = section(&scratch, 1, 0);
    for name in ["away", "directory", ""] {
        let text = EXAMPLE.replace("/chat", &format!("/{name}"));
        // The socket that a subprotocol names may be away as well.
        let request = parse(text.as_bytes()).expect("a good head");
        let refused = open_of(&config, &request, &client);
        assert_eq!(refused.expect_err(name).status(), 503, "{name}");
    }
}

#[test]
fn a_client_that_leaves_is_not_waited_with() {
    let request = parse(EXAMPLE.as_bytes()).expect("a good head");
    let (client, far) = pair();
    drop(far);
    let scratch = Scratch::new();
    let config = section(&scratch, 0, 60);
    let start = Instant::now();
    let refused = open_of(&config, &request, &client);
    assert!(matches!(refused, Err(Refusal::Gone(_))));
    assert!(start.elapsed() < Duration::from_secs(30), "at once");
}
