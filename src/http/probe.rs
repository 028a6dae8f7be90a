//! A request that asks whether the server is there: monitors and load balancers send such.

use crate::http::request::Request;
use crate::http::response::{After, header, start};

/// What a GET finds on every server, beside all services and files (RFC 8615).
const HEALTH: &str = "/.well-known/ouistiti";

/// Whether a request is answered here, without a login.
pub(crate) fn is_one(request: &Request) -> bool {
    request.method == "OPTIONS"
        || matches!(request.method.as_str(), "GET" | "HEAD") && request.path == HEALTH
}

/// The answer to OPTIONS, or to a GET of the path above; `None` for any other request.
///
/// A load balancer asks with OPTIONS unless it is told otherwise, and takes every 2xx.
pub(crate) fn answer(request: &Request, after: After) -> Option<String> {
    let mut answer = match request.method.as_str() {
        "OPTIONS" => {
            let mut answer = start(204, after);
            header(&mut answer, "Allow", "GET, HEAD, OPTIONS");
            answer
        }
        "GET" | "HEAD" if request.path == HEALTH => {
            let mut answer = start(200, after);
            header(&mut answer, "Content-Type", "text/plain; charset=utf-8");
            header(&mut answer, "Content-Length", "3");
            header(&mut answer, "Cache-Control", "no-store");
            answer
        }
        _ => return None,
    };
    answer.push_str("\r\n");
    if request.method == "GET" {
        answer.push_str("ok\n");
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::tests::parse;

    fn ask(line: &str) -> Option<String> {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        answer(&parse(head.as_bytes()).expect("a good head"), After::Close)
    }

    #[test]
    fn options_has_no_content_and_says_what_is_allowed() {
        for line in ["OPTIONS /", "OPTIONS /any/thing", "OPTIONS *"] {
            assert_eq!(
                ask(line).as_deref(),
                Some(
                    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\
                     X-Content-Type-Options: nosniff\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n"
                ),
                "{line}"
            );
        }
    }

    #[test]
    fn the_health_path_is_ok_and_all_others_are_left_to_others() {
        let get = ask("GET /.well-known/ouistiti?x=1").expect("an answer");
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
        let head = ask("HEAD /.well-known/ouistiti").expect("an answer");
        assert_eq!(head + "ok\n", get);
        for line in ["GET /", "POST /.well-known/ouistiti", "GET /.well-known/x"] {
            assert_eq!(ask(line), None, "{line}");
        }
    }
}
