//! Tests of the whole way from text to `Config`.

mod c_gateway;
mod checks;
mod files;
mod fuzz;
mod links;
mod logins;
mod servers;
mod syntax;

use std::path::Path;

use super::built::Built;
use super::libconfig::value::Setting;
use super::load::Loaded;
use super::load::text_for;
use super::{Config, tree};

/// A program with every feature.
const ALL: Built = Built {
    auth: true,
    auth_rpc: true,
    auth_forward: true,
    bearer: true,
    console: true,
    state: true,
    landlock: true,
    websocket: true,
    websocket_rt: true,
    exec: true,
    share: true,
    tls: true,
};

/// Parses a text; in error the messages with their lines and columns.
fn parse(text: &str) -> Result<Vec<Setting>, Vec<String>> {
    tree(Path::new("x.conf"), text).map_err(|diagnostics| short(&diagnostics))
}

fn short(diagnostics: &[super::Diagnostic]) -> Vec<String> {
    let place = |d: &super::Diagnostic| {
        d.at.map_or(String::new(), |(line, column)| format!("{line}:{column} "))
    };
    diagnostics.iter().map(|d| place(d) + &d.message).collect()
}

fn load_text(text: &str) -> Loaded {
    text_for(Path::new("x.conf"), text, ALL)
}

/// Loads a text that must be free of errors and warnings.
fn good(text: &str) -> Config {
    match load_text(text) {
        Ok((config, warnings)) if warnings.is_empty() => config,
        Ok((_, diagnostics)) | Err(diagnostics) => panic!("{text}\n{:#?}", short(&diagnostics)),
    }
}

/// The errors of a text that must have some.
fn errors(text: &str) -> Vec<String> {
    match load_text(text) {
        Ok(_) => panic!("loaded: {text}"),
        Err(diagnostics) => short(&diagnostics),
    }
}

/// The warnings of a text that must load.
fn warnings(text: &str) -> Vec<String> {
    match load_text(text) {
        Ok((_, warnings)) => short(&warnings),
        Err(diagnostics) => panic!("{text}\n{:#?}", short(&diagnostics)),
    }
}

/// A file whose one server serves files and has this in it.
fn in_server(body: &str) -> String {
    format!("servers = ({{ document = {{ docroot = \"/\"; }};\n{body}\n}});")
}

/// A file whose one server has a `websocket` with this body.
fn in_websocket(body: &str) -> String {
    format!("servers = ({{ websocket = {{\n{body}\n}}; }});")
}

/// That section, of a body without errors and warnings.
fn websocket(body: &str) -> super::WebsocketConfig {
    let config = good(&in_websocket(body));
    config.servers[0].websocket.clone().expect("a websocket")
}
