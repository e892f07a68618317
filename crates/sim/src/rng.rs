//! Randomness: one seed for the network, and an independent stream for each thing that draws from it, so that a change
//! to one link does not shift what another one draws.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use usernet_core::Duration;

/// Who draws.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The secrets and the seed of a host's stack, one stream per host and life.
    Host,
    /// What one direction of a link does to packets.
    Link,
    /// The ports of a NAT box.
    Nat,
    /// A fault plan.
    Plan,
}

/// One stream of random numbers.
#[derive(Debug)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of the `index`th thing of a purpose.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&(purpose as u64 + 1).to_le_bytes());
        bytes[16..24].copy_from_slice(&index.to_le_bytes());
        Self(ChaCha8Rng::from_seed(bytes))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// True with probability `p`. Nothing is drawn when the answer is certain.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        if p <= 0.0 {
            return false;
        }
        // 2^64 as a float: `p` below 1 gives a threshold below `u64::MAX`; only exact operations, equal on every machine.
        p >= 1.0 || self.next_u64() < (p * 18_446_744_073_709_551_616.0) as u64
    }

    /// A number below `n`, which is not 0. The bias is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A duration from zero to `max`, both included.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        if nanos == 0 { max } else { Duration::from_nanos(self.below(nanos + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_keeps_its_promise() {
        let mut rng = Rng::new(7, Purpose::Link, 0);
        let hits = (0..100_000).filter(|_| rng.chance(0.05)).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
        assert!(!(0..1_000).any(|_| rng.chance(0.0)));
        assert!((0..1_000).all(|_| rng.chance(1.0)));
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| Rng::new(seed, purpose, index).next_u64();
        let base = first(1, Purpose::Link, 0);
        assert_eq!(base, first(1, Purpose::Link, 0));
        assert_ne!(base, first(2, Purpose::Link, 0));
        assert_ne!(base, first(1, Purpose::Host, 0));
        assert_ne!(base, first(1, Purpose::Link, 1));
    }
}
