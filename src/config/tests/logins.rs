//! Tests of `auth`: no mistake in it leaves a server open.

use super::super::auth::AuthKind;
use super::super::keys::auth::AUTH_SECTION;
use super::*;

/// A login of each type that is well.
const GOOD: [&[(&str, &str)]; 6] = [
    &[("type", "\"Basic\""), ("file", "\"f\"")],
    &[
        ("type", "\"Basic\""),
        ("user", "\"u\""),
        ("passwd", "\"p\""),
    ],
    &[("type", "\"rpc\""), ("address", "\"unix:/a\"")],
    &[
        ("type", "\"forward\""),
        ("address", "\"a:1\""),
        ("path", "\"/\""),
    ],
    &[
        ("type", "\"Bearer\""),
        ("tokens", "\"t\""),
        ("algorithm", "\"HS256\""),
        ("keyfile", "\"k\""),
    ],
    &[("type", "\"certificate\""), ("subject", "\"*\"")],
];
/// Values that are wrong for some key, or for all.
const VALUES: [&str; 10] = [
    "\"\"", "\" \"", "\",\"", "\"[\"", "0", "true", "[]", "()", "{}", "[ \"\" ]",
];

fn server(settings: &[(&str, &str)]) -> String {
    let settings: Vec<_> = (settings.iter())
        .map(|(name, value)| format!("{name} = {value};"))
        .collect();
    let tls =
        "tls = { crtfile = \"c\"; keyfile = \"k\"; cachain = \"a\"; clientauth = \"optional\"; };";
    in_server(&format!("{tls} auth = {{ {} }};", settings.join(" ")))
}

#[test]
fn a_login_with_a_mistake_is_an_error_or_still_a_login() {
    let mut loaded = 0;
    for good in GOOD {
        for key in AUTH_SECTION.keys {
            for value in VALUES {
                let mut settings: Vec<_> = good.to_vec();
                settings.retain(|(name, _)| *name != key.name);
                // Once in place of the good value, and once without any.
                let without = server(&settings);
                settings.push((key.name, value));
                for text in [server(&settings), without] {
                    let Ok((config, _)) = load_text(&text) else {
                        continue;
                    };
                    loaded += 1;
                    let auth = config.servers[0].auth.as_ref();
                    let is_open = auth.is_none_or(|auth| auth.kind == AuthKind::Open);
                    assert!(!is_open, "everybody may come in: {text}");
                }
            }
        }
    }
    assert!(loaded > 100, "only {loaded} of them load");
}

#[test]
fn a_mistake_in_a_login_is_named_with_its_cure() {
    for (auth, wanted) in [
        ("", "'auth' without 'type' (there are None, Basic"),
        (
            "type = \"Basic\"; user = \"a\"; passwd = \"\";",
            "'passwd' is empty",
        ),
        ("type = \"rpc\"; address = \"\";", "'address' is empty"),
        (
            "type = \"Bearer\"; algorithm = \"HS256\"; keyfile = \"\";",
            "'keyfile' is empty",
        ),
        (
            "type = \"Basic\"; user = \"a:b\"; passwd = \"c\";",
            "'user' has a colon",
        ),
        (
            "type = \"Basic\"; file = \"f\"; groups = \"\";",
            "'groups' is empty: leave it out",
        ),
    ] {
        let found = errors(&in_server(&format!(
            "addr = \"127.0.0.1\"; auth = {{ {auth} }};"
        )));
        assert!(
            found.len() == 1 && found[0].contains(wanted),
            "{auth}: {found:#?}"
        );
    }
    let auth = "type = \"Basic\"; file = \"f\"; group = \"admins\"; passwd = \"x\";";
    let found = warnings(&in_server(&format!(
        "addr = \"127.0.0.1\"; auth = {{ {auth} }};"
    )));
    let has = |wanted: &str| found.iter().any(|line| line.contains(wanted));
    assert!(
        has("'group' has no effect beside 'file': 'groups' says"),
        "{found:#?}"
    );
    assert!(has("'passwd' has no effect beside 'file'"), "{found:#?}");
}
