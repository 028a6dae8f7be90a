//! Whatever the bytes, loading ends with an answer and never with a panic.

use super::load_text;

/// A small deterministic generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

const SEEDS: [&str; 3] = [
    include_str!("../../../tests/data/c-gateway.conf"),
    include_str!("../../../etc/serial-port.conf"),
    "# é\nuser = \"a\\x41\\*\"; servers = ( { addr = [ \"[::1]:0\", \"unix:/x\" ]; port: 0x50; trusted=\"10.0.0.0/8\";\n\
     websocket = { allow = \"[a-z]*,!\"; origins = \"*\"; ping = 1.5e3; links = ( { type = \"tty\"; baud = \"9600\"; } ); } } );",
];

/// Pieces that mean something to the parser.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "\\",
    "/*",
    "*/",
    "#",
    "//",
    "@include \"x\"",
    "=",
    ";",
    ",",
    "0x",
    "1e9",
    "-",
    "é",
    "\u{fffd}",
    "\0",
    "\r\n",
    "servers = ( { ",
];

fn mutate(random: &mut Random, seed: &str) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(20)).min(text.len());
        match random.below(4) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].chars())),
            2 => {
                let copy = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, copy);
            }
            _ => text.truncate(if random.below(8) == 0 { at } else { text.len() }),
        }
    }
    text.into_iter().collect()
}

#[test]
fn no_input_makes_the_loader_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        let text = mutate(&mut random, SEEDS[round % SEEDS.len()]);
        if let Err(diagnostics) = load_text(&text) {
            assert!(!diagnostics.is_empty());
            diagnostics
                .iter()
                .for_each(|diagnostic| drop(diagnostic.to_string()));
        }
    }
}
