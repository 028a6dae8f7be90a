//! The entries of `links`, and what needs a Cargo feature.

use std::path::Path;
use std::time::Duration;

#[cfg(feature = "share")]
use super::super::Share;
use super::super::{Flow, FrameType, Framing, HangUp, Parity, SerialConfig, Target, from_text};
use super::{ALL, Built, errors, in_websocket, load_text, short, text_for, warnings, websocket};

#[test]
fn a_link_takes_the_values_of_its_section_unless_it_sets_them() {
    let text = in_websocket(
        "framing = \"line\"; wait = 3; options = \"direct\"; frametype = \"text\";\n links = (\n\
         { origin = \"a\"; destination = \"/run/a\"; },\n\
         { origin = \"b*\"; type = \"tcp\"; destination = \"::1\"; port = \"80\"; framing = \"nul\"; wait = 0; },\n\
         { origin = \"c\"; type = \"fifo\"; destination = \"/run/c\"; },\n\
         { origin = \"d\"; destination = \"/run/d\"; options = \"\"; } );",
    );
    // One warning: a direct backend may not know of the frametype.
    let (config, warned) = load_text(&text).expect("no errors");
    assert_eq!(warned.len(), 1, "{:?}", short(&warned));
    let parsed = config.servers[0].websocket.clone().expect("a websocket");
    let [a, b, c, d] = &parsed.links[..] else {
        panic!("four links: {parsed:?}");
    };
    assert_eq!(
        (&a.target, a.service.framing, a.service.direct),
        (&Target::Unix("/run/a".into()), Framing::Line, true)
    );
    assert_eq!(a.service.wait, Duration::from_secs(3));
    assert_eq!(
        (&b.target, b.service.framing, b.service.direct),
        (&Target::Tcp("::1".into(), 80), Framing::Nul, false)
    );
    assert_eq!(
        (b.service.wait, b.service.frame_type),
        (Duration::ZERO, FrameType::Text)
    );
    assert_eq!(
        (&c.target, c.service.direct),
        (&Target::Fifo("/run/c".into()), false)
    );
    assert!(!d.service.direct);
}

#[test]
fn a_link_without_a_name_is_for_the_root() {
    let links = |origin: &str| {
        let body = format!("links = ( {{ origin = \"{origin}\"; destination = \"/x\"; }} );");
        websocket(&body).links
    };
    for origin in ["", "/", "^/$"] {
        let glob = &links(origin)[0].origin;
        assert!(glob.matches("") && !glob.matches("x"), "{origin}");
    }
}

#[test]
fn a_serial_line_has_its_settings() {
    let line = |body: &str| {
        let link = format!(
            "links = ( {{ origin = \"a\"; type = \"tty\"; destination = \"/x\"; {body} }} );"
        );
        match websocket(&link).links[0].target.clone() {
            Target::Tty(_, serial) => serial,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(line(""), SerialConfig::default());
    let set = "baud = 9600; databits = 7; parity = \"even\"; stopbits = 2; flow = \"hardware\"; \
               exclusive = true; hangup = \"no\";";
    let expected = SerialConfig {
        baud: 9600,
        data_bits: 7,
        parity: Parity::Even,
        stop_bits: 2,
        flow: Flow::Hardware,
        hang_up: HangUp::No,
        exclusive: true,
    };
    assert_eq!(line(set), expected);
}

#[test]
fn a_fifo_is_read_beside_or_instead_of_the_one_that_is_written() {
    let target = |body: &str| {
        let link = format!("links = ( {{ origin = \"a\"; type = \"fifo\"; {body} }} );");
        websocket(&link).links[0].target.clone()
    };
    let fifos = |destination: Option<&str>| Target::Fifos {
        source: "/out".into(),
        destination: destination.map(Into::into),
    };
    assert_eq!(target("source = \"/out\";"), fifos(None));
    let pair = target("source = \"/out\"; destination = \"/in\";");
    assert_eq!(pair, fifos(Some("/in")));
}

#[test]
fn a_link_that_cannot_work_is_refused() {
    let cases = [
        (
            "origin = \"a\"; type = \"fifo\"; source = \"/x\"; destination = \"/x\";",
            "clients would hear what they send",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; source = \"/y\";",
            "'source' is for links of type \"fifo\"",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; exclusive = true;",
            "'exclusive' is for links of type \"tty\"",
        ),
        ("destination = \"/x\";", "links needs 'origin'"),
        ("origin = \"a\";", "links needs 'destination'"),
        (
            "origin = \"a\"; type = \"tcp\"; destination = \"h\";",
            "links needs 'port'",
        ),
        (
            "origin = \"a\"; type = \"tcp\"; destination = \"h:5900\";",
            "'destination' is the host alone: destination = \"h\"; port = 5900;",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; port = 5;",
            "'port' is for links of type \"tcp\"",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; baud = 9600;",
            "'baud' is for links of type \"tty\"",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; parity = \"odd\";",
            "'parity' is for links of type \"tty\"",
        ),
        (
            "origin = \"a\"; type = \"tty\"; destination = \"/x\"; baud = 9601;",
            "the nearest is 9600",
        ),
        (
            "origin = \"a\"; type = \"tty\"; destination = \"/x\"; options = \"direct\";",
            "'direct' needs a link of type \"unix\"",
        ),
        (
            "origin = \"a\"; type = \"udp\"; destination = \"/x\";",
            "'type' cannot be 'udp'",
        ),
        (
            "origin = \"a\"; destination = \"/x\"; docroot = \"/y\";",
            "unknown setting 'docroot' in links (it belongs in websocket or document)",
        ),
    ];
    for (body, message) in cases {
        let found = errors(&in_websocket(&format!("links = ( {{ {body} }} );")));
        assert!(
            found.len() == 1 && found[0].contains(message),
            "{body}\n{found:#?}"
        );
    }
}

#[test]
fn a_link_whose_own_name_is_not_allowed_is_a_warning() {
    let link =
        |origin: &str| format!("links = ( {{ origin = \"{origin}\"; destination = \"/x\"; }} );");
    for (lists, origin, warned) in [
        ("allow = \"ws_*\";", "modem", true),
        ("deny = \"modem\";", "modem", true),
        ("deny = \"modem\"; denylast = true;", "modem", false),
        ("allow = \"ws_*\";", "ws_modem", false),
        ("", "modem", false),
        // The names that a glob stands for are not known.
        ("allow = \"ws_*\";", "*_modem", false),
    ] {
        let found = warnings(&in_websocket(&format!("{lists}\n {}", link(origin))));
        let wanted = format!("3:23 the name '{origin}' is not allowed: see 'allow' and 'deny'");
        match warned {
            true => assert_eq!(found, [wanted], "{lists}"),
            false => assert!(found.is_empty(), "{lists} {origin}: {found:?}"),
        }
    }
}

#[test]
fn a_link_that_another_one_leaves_no_client_is_a_warning() {
    for (first, second, is_warned) in [
        ("a", "a", true),
        ("*", "a", true),
        ("", "", true),
        ("a*", "a*", true),
        ("*", "", false),
        ("a", "*", false),
        ("a", "b", false),
    ] {
        let link = |origin: &str| format!("{{ origin = \"{origin}\"; destination = \"/x\"; }}");
        let body = format!("links = ( {},\n{} );", link(first), link(second));
        let found = warnings(&in_websocket(&body));
        let wanted = format!(
            "3:12 this link is never used: the one before with origin = \"{first}\" serves its clients"
        );
        match is_warned {
            true => assert_eq!(found, [wanted], "{first} {second}"),
            false => assert!(found.is_empty(), "{first} {second}: {found:?}"),
        }
    }
}

#[test]
fn a_wrong_value_in_the_section_is_said_once_though_links_inherit_it() {
    let body = "framing = \"lines\"; links = ( { origin = \"a\"; destination = \"/a\"; }, { origin = \"b\"; destination = \"/b\"; } );";
    assert_eq!(errors(&in_websocket(body)).len(), 1);
}

#[test]
fn a_build_without_a_feature_refuses_the_sections_that_need_it() {
    let path = Path::new("x.conf");
    let text = "servers = ({ websocket = { options = \"direct\"; }; },\n\
                 { port = 443; tls = { crtfile = \"a\"; keyfile = \"b\"; }; websocket = { }; });";
    let wrong = |built| short(&text_for(path, text, built).expect_err("a feature is missing"));
    assert_eq!(
        wrong(Built {
            websocket_rt: false,
            ..ALL
        }),
        ["1:38 this ouistiti was built without direct mode (feature 'websocket_rt')"]
    );
    assert_eq!(
        wrong(Built { tls: false, ..ALL }),
        ["2:15 this ouistiti was built without TLS (feature 'tls'): it cannot serve this server"]
    );
    let without = wrong(Built {
        websocket: false,
        ..ALL
    });
    assert!(
        without[0].contains("built without the gateway (feature 'websocket')")
            && without.len() == 2
    );
    let programs = "servers = ({ websocket = { links = (\n\
                    { origin = \"a\"; type = \"exec\"; destination = \"/bin/cat\"; }); }; });";
    let without = Built { exec: false, ..ALL };
    assert_eq!(
        short(&text_for(path, programs, without).expect_err("a feature is missing")),
        ["2:24 this ouistiti was built without programs (feature 'exec')"]
    );
    let text = "landlock = true; servers = ({ websocket = { }; });";
    let without = Built {
        auth: false,
        state: false,
        landlock: false,
        ..ALL
    };
    let wrong = short(&text_for(path, text, without).expect_err("a feature is missing"));
    assert_eq!(
        wrong,
        ["1:12 this ouistiti was built without Landlock (feature 'landlock')"]
    );
}

#[test]
fn this_build_knows_its_features() {
    let text = "servers = ({ websocket = { }; });";
    let loaded = from_text(Path::new("x.conf"), text);
    assert_eq!(loaded.is_ok(), cfg!(feature = "websocket"));
}

#[cfg(feature = "exec")]
#[test]
fn a_program_has_a_whole_path_and_its_arguments_are_taken_as_they_are() {
    let links = |body: &str| {
        format!("links = ({{ origin = \"a\"; type = \"exec\"; destination = {body} }});")
    };
    let parsed = websocket(&links(
        "\"/bin/cat\"; arguments = [\"a, b\", \"\", \"c\"]; maxprocesses = 3;",
    ));
    let Target::Exec(program) = &parsed.links[0].target else {
        panic!("{parsed:?}");
    };
    assert_eq!(program.program, Path::new("/bin/cat"));
    assert_eq!(program.arguments, ["a, b", "", "c"]);
    assert_eq!((program.max_processes, &program.directory), (3, &None));
    for (body, wrong) in [
        ("\"cat\";", "a program is named by its whole path"),
        ("\"/bin/cat\"; arguments = [1, 2];", "an array of strings"),
        ("\"/bin/cat\"; port = 80;", "for links of type \"tcp\""),
        ("\"/bin/cat\"; maxprocesses = 0;", "from 1 to 10000"),
    ] {
        let found = errors(&in_websocket(&links(body))).join("\n");
        assert!(found.contains(wrong), "{body}: {found}");
    }
}

#[cfg(feature = "share")]
#[test]
fn lines_and_fifos_are_shared_and_what_cannot_be_shared_is_told() {
    let links =
        |more: &str| format!("links = ({{ origin = \"a\"; destination = \"/a\"; {more} }});");
    let shared = |more: &str| {
        let link = websocket(&links(more)).links.remove(0);
        link.service.sharing.share.of(&link.target)
    };
    assert_eq!(shared(""), None);
    assert_eq!(shared("type = \"tty\";"), Some(Share::All));
    assert_eq!(shared("type = \"fifo\";"), Some(Share::All));
    assert_eq!(shared("type = \"tty\"; share = \"none\";"), None);
    assert_eq!(shared("share = \"first\";"), Some(Share::First));
    for (more, wrong) in [
        (
            "share = \"all\"; options = \"direct\";",
            "'share' cannot go with 'direct', where the backend gets each client's own socket",
        ),
        ("share = \"some\";", "'share' cannot be 'some'"),
        ("replay = \"4K\";", "'replay' needs a shared backend"),
        (
            "type = \"tty\"; share = \"none\"; keep = true;",
            "'keep' needs a shared backend",
        ),
        ("type = \"tty\"; linger = 90000;", "from 0 to 86400"),
    ] {
        let found = errors(&in_websocket(&links(more))).join("\n");
        assert!(found.contains(wrong), "{more}: {found}");
    }
    let globbed = links("share = \"all\"; keep = true;").replace("\"a\"", "\"a*\"");
    let found = errors(&in_websocket(&globbed)).join("\n");
    assert!(
        found.contains("'keep' needs an 'origin' that is a name"),
        "{found}"
    );
    let inherited = format!("options = \"direct\"; {}", links("share = \"all\";"));
    let found = errors(&in_websocket(&inherited)).join("\n");
    assert!(found.contains("set options = \"\" in this link"), "{found}");
    let without = Built {
        share: false,
        ..ALL
    };
    let text = in_websocket(&links("share = \"all\";"));
    let found = short(&text_for(Path::new("x"), &text, without).expect_err("a feature"));
    assert!(found[0].contains("(feature 'share')"), "{found:?}");
}
