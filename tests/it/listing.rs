//! The list of services, and the console that a start without a file shows.

use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::http::{ask, get};

/// The list that a gateway answers with.
fn list(gateway: &Gateway) -> String {
    let answer = get(gateway, "/-/services", "");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).expect("JSON is UTF-8")
}

#[test]
fn the_services_are_listed_with_their_states_where_the_configuration_says_so() {
    let silent = Gateway::start("");
    assert_eq!(get(&silent, "/-/services", "").status, 426);
    let gateway = Gateway::start("list = true; deny = \"hidden\";");
    gateway.backend("live").echo();
    gateway.backend("hidden").echo();
    drop(gateway.backend("dead"));
    let wanted = "{\"services\":[\n\
                  {\"name\":\"dead\",\"state\":\"stopped\"},\n\
                  {\"name\":\"live\",\"state\":\"running\"}],\"more\":false}\n";
    assert_eq!(list(&gateway), wanted);
}

#[test]
fn a_page_of_a_name_that_is_not_the_servers_gets_no_list() {
    let gateway = Gateway::start("list = true;");
    let request = "GET /-/services HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&gateway, request).status, 421);
}

#[cfg(feature = "auth")]
#[test]
fn who_has_not_logged_in_sees_only_what_needs_no_login() {
    let own = "{ type = \"Basic\"; user = \"ann\"; passwd = \"x\"; }";
    let settings = format!(
        "list = true; auth = {{ type = \"Basic\"; user = \"admin\"; passwd = \"test\"; protect = \"PROTECT\"; }};
         links = ({{ origin = \"anns\"; destination = \"/nowhere/anns\"; auth = {own}; }},
                  {{ origin = \"open\"; destination = \"/nowhere/open\"; auth = {{ type = \"None\"; }}; }});"
    );
    let some = Gateway::start(&settings.replace("PROTECT", "/secret*"));
    let all = Gateway::start(&settings.replace("PROTECT", "*"));
    for gateway in [&some, &all] {
        drop(gateway.backend("secret"));
        drop(gateway.backend("free"));
    }
    let names = |list: &str| {
        let parts = list.split("\"name\":\"").skip(1);
        let names = parts.filter_map(|part| part.split('"').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&list(&some)), ["free", "open"]);
    assert_eq!(get(&all, "/-/services", "").status, 401);
    let admin = "Authorization: Basic YWRtaW46dGVzdA==\r\n";
    let answer = get(&all, "/-/services", admin);
    let body = String::from_utf8(answer.body).expect("UTF-8");
    assert_eq!(names(&body), ["free", "open", "secret"]);
}

#[test]
fn a_plain_request_of_a_service_that_is_not_allowed_is_told_so() {
    let gateway = Gateway::start("deny = \"hidden\";");
    gateway.backend("hidden").echo();
    gateway.backend("seen").echo();
    let denied = get(&gateway, "/hidden", "");
    assert_eq!(denied.status, 403);
    assert_eq!(denied.body, b"403 Forbidden: this name is not served\n");
    assert_eq!(get(&gateway, "/seen", "").status, 426);
}

#[cfg(feature = "console")]
#[test]
fn a_start_without_a_file_shows_the_console_and_the_service_it_means() {
    let gateway = Gateway::one_line(&["-b", "DIR/run/one"]);
    Backend::listen(&gateway.path("run/one")).echo();
    let page = get(&gateway, "/?name=one", "");
    assert_eq!(page.status, 200);
    let text = String::from_utf8(page.body).expect("UTF-8");
    for file in ["console.js", "shared.js", "style.css", "icon.svg"] {
        let path = format!("-/{file}\"");
        assert!(text.contains(&path), "{path}");
        assert_eq!(get(&gateway, &format!("/-/{file}"), "").status, 200);
    }
    assert!(list(&gateway).contains("{\"name\":\"one\",\"state\":\"running\"}"));
    let missing = get(&gateway, "/console.html", "");
    // Every name is the one backend's.
    assert_eq!(missing.status, 426);
}

#[cfg(feature = "console")]
#[test]
fn an_index_of_the_pages_stands_before_the_console() {
    let gateway = Gateway::one_line(&["-d", "DIR/run", "-w", "DIR/www"]);
    assert_eq!(get(&gateway, "/missing", "").status, 404);
    let console = get(&gateway, "/", "");
    assert!(console.body.starts_with(b"<!DOCTYPE html>"));
    std::fs::write(gateway.path("www/index.html"), "a page").expect("a file");
    assert_eq!(get(&gateway, "/", "").body, b"a page");
}
