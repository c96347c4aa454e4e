//! The servers that Pipecast needs, private ones on ports of their own, that keep data and port over a restart.
//! Knows nothing of Pipecast.

pub mod nginx;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;

use std::process::Command;

use anyhow::{Context, ensure};

/// Runs a program to its end; what it said.
///
/// # Errors
/// With what it said, where it failed.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
