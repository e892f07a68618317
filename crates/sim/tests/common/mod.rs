//! What several test files share.

use std::ops::Range;

use usernet_sim::Pattern;

/// Numbers that follow from a seed.
pub(crate) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let mut word = [0; 8];
        Pattern(self.seed).fill(self.thrown * 8, &mut word);
        self.thrown += 1;
        u64::from_le_bytes(word) % n
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// The seeds to run: `USERNET_SEEDS` where it is set (`0..100000`), else the first `default`.
pub(crate) fn seeds(default: u64) -> Range<u64> {
    let Ok(text) = std::env::var("USERNET_SEEDS") else { return 0..default };
    let (first, last) = text.split_once("..").expect("USERNET_SEEDS is like 0..300");
    first.parse().expect("a number")..last.parse().expect("a number")
}
