//! Goals, each printed with whether it was kept; one that was missed fails the scene.
//! Knows nothing of how anything was measured.

use std::fmt::Display;

use anyhow::ensure;

/// The goals of one scene.
#[derive(Debug, Default)]
pub struct Goals {
    missed: usize,
}

impl Goals {
    /// Prints the goal with its figure, and remembers whether it was kept.
    pub fn check(&mut self, is_kept: bool, what: impl Display) {
        self.missed += usize::from(!is_kept);
        println!("{}  {what}", if is_kept { "kept  " } else { "MISSED" });
    }

    /// # Errors
    /// Where a goal was missed.
    pub fn verdict(self) -> anyhow::Result<()> {
        ensure!(self.missed == 0, "{} goals were missed", self.missed);
        Ok(())
    }
}
