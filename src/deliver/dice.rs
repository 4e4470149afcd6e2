//! Numbers from 0 to 1 for jitter; nothing depends on their being hard to guess.

use std::hash::{BuildHasher, RandomState};

/// `SplitMix64`: the same numbers from the same seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Other numbers in every process and for every sink.
    pub(super) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0))
    }

    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let roll = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        roll
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
