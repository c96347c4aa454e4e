//! The dice of the simulation: a seed tells the same life in every build and on every machine.
//! Not for secrets.

/// A SplitMix64 generator. Its stream is part of what a seed means, which no library promises across its versions.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Dice that always fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// Dice of their own for one purpose, so that throwing these does not change how others fall.
    pub fn apart(&self, purpose: u64) -> Self {
        let mut other = Chance(self.0 ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        other.draw();
        other
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 (may be) to 1 (never).
    pub fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in this share of cases.
    pub fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// A whole number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % end as u64).expect("less than a usize")
    }

    /// One of `all`, which must not be empty.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Waiting time of something that happens every `mean` on average and does not remember.
    pub fn memoryless(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    /// Forty hexadecimal digits.
    pub fn sha(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.draw(), self.draw(), self.draw() >> 32)
    }

    /// The text of a random UUID.
    pub fn uuid(&mut self) -> String {
        let bits = (u128::from(self.draw()) << 64) | u128::from(self.draw());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}
