//! A generator of its own, so that a failure can be run again (xorshift).
#![allow(dead_code, unreachable_pub)]

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("less than bound")
    }

    pub fn pick<'a>(&mut self, choice: &[&'a str]) -> &'a str {
        choice[self.below(choice.len())]
    }

    /// Changes a few bytes of `text`, or cuts it.
    pub fn damage(&mut self, text: &[u8]) -> Vec<u8> {
        let mut damaged = text.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(damaged.len());
            match self.below(3) {
                0 => damaged[at] = u8::try_from(1 + self.below(255)).expect("a byte"),
                1 => damaged[at] = b' ',
                _ => damaged.truncate(at.max(1)),
            }
        }
        damaged
    }
}
