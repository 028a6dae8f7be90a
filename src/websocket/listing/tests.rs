//! The list of services: who is in it, and in which state.

use super::*;
use crate::system::beneath::tests::Scratch;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The section `websocket` with the sockets of a directory, and these settings.
fn section(scratch: &Scratch, more: &str) -> WebsocketConfig {
    let docroot = scratch.0.display();
    let text = format!("servers = ({{ websocket = {{ docroot = \"{docroot}\"; {more} }}; }});");
    let loaded = crate::config::from_text(Path::new("x"), &text).expect("a good text");
    loaded.0.servers[0].websocket.clone().expect("a section")
}

fn names(config: &WebsocketConfig) -> Vec<String> {
    let listing = Listing::of(config, &|_, _| true);
    listing.services.into_iter().map(|it| it.name).collect()
}

#[test]
fn sockets_links_and_directories_are_listed_with_their_states() {
    let scratch = Scratch::new();
    let _live = UnixListener::bind(scratch.0.join("live")).expect("a socket");
    drop(UnixListener::bind(scratch.0.join("dead")).expect("a socket"));
    fs::create_dir(scratch.0.join("in")).expect("a directory");
    let _inner = UnixListener::bind(scratch.0.join("in/mqtt")).expect("a socket");
    fs::write(scratch.0.join("file"), "no service").expect("a file");
    let links = "links = ({ origin = \"\"; type = \"tcp\"; destination = \"::1\"; port = 1; },
                          { origin = \"m*\"; destination = \"/nowhere/modem\"; },
                          { origin = \"x*\"; destination = \"/nowhere/modem\"; });";
    let json = Listing::of(&section(&scratch, links), &|_, _| true).json();
    let wanted = "{\"services\":[\n\
                  {\"name\":\"\"},\n\
                  {\"name\":\"dead\",\"state\":\"stopped\"},\n\
                  {\"name\":\"in/mqtt\",\"state\":\"running\"},\n\
                  {\"name\":\"live\",\"state\":\"running\"},\n\
                  {\"name\":\"modem\",\"state\":\"stopped\"}],\"more\":false}\n";
    assert_eq!(json, wanted);
}

#[test]
fn what_a_client_may_not_have_is_not_named() {
    let scratch = Scratch::new();
    let outside = Scratch::new();
    let _other = UnixListener::bind(outside.0.join("other")).expect("a socket");
    std::os::unix::fs::symlink(outside.0.join("other"), scratch.0.join("out")).expect("a link");
    let bound = ["seen", "hidden", "bad name"]
        .map(|name| UnixListener::bind(scratch.0.join(name)).expect("a socket"));
    let config = section(&scratch, "deny = \"hid*\";");
    assert_eq!(names(&config), ["seen"]);
    drop(bound);
}

#[test]
fn a_link_is_named_once_and_before_the_socket_of_its_name() {
    let scratch = Scratch::new();
    let _socket = UnixListener::bind(scratch.0.join("echo")).expect("a socket");
    let links = "links = ({ origin = \"echo\"; destination = \"/nowhere/echo\"; },
                          { origin = \"*\"; destination = \"/nowhere/echo\"; });";
    let listing = Listing::of(&section(&scratch, links), &|_, _| true);
    let wanted = [Listed {
        name: "echo".to_owned(),
        state: Some(crate::backend::presence::State::Stopped),
        clients: None,
    }];
    assert_eq!(listing.services, wanted);
}

#[test]
fn more_services_than_are_named_are_told_of() {
    let scratch = Scratch::new();
    for number in 0..=MAX_SERVICES {
        drop(UnixListener::bind(scratch.0.join(number.to_string())).expect("a socket"));
    }
    let listing = Listing::of(&section(&scratch, ""), &|_, _| true);
    assert_eq!(listing.services.len(), MAX_SERVICES);
    assert!(listing.json().ends_with("\"more\":true}\n"));
}
