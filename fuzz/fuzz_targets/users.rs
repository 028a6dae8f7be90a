//! Files of users and of tokens (`login/users`, `login/tokens`): every line is read or named, and
//! who is not in the file does not come in.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ouistiti::parts::login::{Credentials, Tokens, Users};
use ouistiti_fuzz::Random;

/// Most users of whom each is tried.
const MAX_TRIES: usize = 8;

/// Most fields of a line; those of shadow(5) have more.
const MAX_FIELDS: usize = 4;
/// Of so many inputs with a password that is checked by hashing one is checked, and one user of it:
/// it takes long, and is not what this looks at.
const OF_SLOW: usize = 1024;

/// Name and password of each line, and whether it is one of shadow(5).
fn lines(text: &str) -> Vec<(&str, &str, bool)> {
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fields = lines.map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter_map(|fields| Some((fields[0], *fields.get(1)?, fields.len() > MAX_FIELDS)))
        .collect()
}

fn is_slow(password: &str) -> bool {
    ["$1$", "$5$", "$6$"]
        .iter()
        .any(|form| password.starts_with(form))
}

fn check_users(text: &str) {
    let Ok(users) = Users::parse(Path::new("users"), text) else {
        return;
    };
    let comes_in = |user: &str, password: &str| {
        let (user, password) = (user.to_owned(), password.to_owned());
        users.check(&Credentials { user, password }).is_some()
    };
    let lines = lines(text);
    let is_slow = lines.iter().any(|(_, password, _)| is_slow(password));
    // A hash of many rounds takes half a second.
    let is_endless = text.contains("rounds=");
    if is_endless || is_slow && Random::of(text.as_bytes()).below(OF_SLOW) > 0 {
        return;
    }
    let tries = if is_slow { 1 } else { MAX_TRIES };
    for (user, password, is_shadow) in lines.into_iter().take(tries) {
        // Only a clear password is its own.
        let is_own = !password.starts_with('$') && !is_shadow;
        assert_eq!(comes_in(user, password), is_own, "{user}:{password}");
        assert!(!comes_in(user, &format!("{password} ")));
        assert!(!comes_in(&format!("{user}:"), password));
    }
}

fn check_tokens(text: &str) {
    let Ok(tokens) = Tokens::parse(Path::new("tokens"), text) else {
        return;
    };
    let lines = lines(text);
    let user_of = |token: &str| {
        let own = lines.iter().find(|(own, ..)| *own == token);
        let own = own.filter(|_| !token.starts_with("$a5$"));
        own.map(|(_, user, _)| (*user).to_owned())
    };
    for (token, ..) in lines.iter().take(MAX_TRIES) {
        for token in [*token, &format!("{token}x")] {
            let found = tokens.find(token).map(|(user, _)| user);
            assert_eq!(found, user_of(token), "{token}");
        }
    }
}

fuzz_target!(|text: &str| {
    check_users(text);
    check_tokens(text);
});
