//! A request that is no upgrade, where there is no file: the console page, built into the daemon
//! (`console = true`).
//!
//! The files are those of utils/htdocs. All but the page stand below /-/, where no file of
//! `document` has the same name.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::http::document::{POLICY, REFERRER, caching};
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::{After, header, start};

/// Longest wait for a client to take a file.
const WAIT: Duration = Duration::from_secs(10);

/// How the page names the files that it needs, and where they stand.
const NEEDS: [(&str, &str); 3] = [
    (" src=\"", " src=\"-/"),
    ("rel=\"icon\" href=\"", "rel=\"icon\" href=\"-/"),
    ("rel=\"stylesheet\" href=\"", "rel=\"stylesheet\" href=\"-/"),
];

/// Path, type and text of each file.
const FILES: [(&str, &str, &str); 5] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../../utils/htdocs/console.html"),
    ),
    (
        "/-/console.js",
        "text/javascript; charset=utf-8",
        include_str!("../../utils/htdocs/console.js"),
    ),
    (
        "/-/shared.js",
        "text/javascript; charset=utf-8",
        include_str!("../../utils/htdocs/shared.js"),
    ),
    (
        "/-/style.css",
        "text/css; charset=utf-8",
        include_str!("../../utils/htdocs/style.css"),
    ),
    (
        "/-/icon.svg",
        "image/svg+xml",
        include_str!("../../utils/htdocs/icon.svg"),
    ),
];

/// Answers a request with a file of the console.
///
/// # Errors
/// `NoFile` if it has none of that path, `BadMethod`, and `Gone`.
pub(crate) fn serve(client: &Client, request: &Request, after: After) -> Result<(), Refusal> {
    let is_meant = |(path, ..): &&(&str, &str, &str)| *path == request.path;
    let Some((_, kind, text)) = FILES.iter().find(is_meant) else {
        return Err(Refusal::NoFile(request.path.clone()));
    };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        let methods = "GET, HEAD, OPTIONS";
        return Err(Refusal::BadMethod(request.method.clone(), methods));
    }
    let text = match request.path.as_str() {
        "/" => page(text),
        _ => Cow::Borrowed(*text),
    };
    let mut head = start(200, after);
    header(&mut head, "Content-Type", kind);
    header(&mut head, "Content-Length", &text.len().to_string());
    header(&mut head, "Cache-Control", caching(request));
    header(&mut head, "Content-Security-Policy", POLICY);
    header(&mut head, "Referrer-Policy", REFERRER);
    head.push_str("\r\n");
    let deadline = Instant::now() + WAIT;
    let write = |text: &str| client.write_all_until(text.as_bytes(), deadline);
    let written = write(&head).and_then(|()| match request.is_head() {
        true => Ok(()),
        false => write(&text),
    });
    written.map_err(Refusal::Gone)
}

/// The page as it stands at `/`.
fn page(text: &str) -> Cow<'static, str> {
    let start = text.to_owned();
    let page = NEEDS
        .iter()
        .fold(start, |page, (from, to)| page.replace(from, to));
    Cow::Owned(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_no_file_that_is_not_built_in() {
        let page = page(FILES[0].2);
        let asked = |mark| {
            page.split(mark)
                .skip(1)
                .filter_map(|at| at.split('"').next())
        };
        let files: Vec<_> = ["src=\"", "href=\""].into_iter().flat_map(asked).collect();
        assert!(files.contains(&"-/console.js"), "{files:?}");
        // The links to other pages are hidden where this page is the index.
        let is_other = |file: &&&str| file.ends_with(".html") || file.starts_with('#');
        for file in files.iter().filter(|file| !is_other(file)) {
            let path = format!("/{file}");
            assert!(FILES.iter().any(|(own, ..)| *own == path), "{file}");
        }
    }
}
