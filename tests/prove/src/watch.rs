//! What ends everything that was started, when we could not: it lives as long as we do, and a moment longer.
//! Knows nothing of what runs.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Reads until we close its input, which a SIGKILL does too; then kills by the ids that lie in the folder, with their children.
const SCRIPT: &str = r#"
cat >/dev/null
for file in "$1"/*.pid; do
    id=$(cat "$file" 2>/dev/null) || continue
    kill -STOP "$id" 2>/dev/null || continue
    children=$(cat /proc/"$id"/task/*/children 2>/dev/null)
    kill -KILL "$id" $children 2>/dev/null
    kill -KILL -- -"$id" 2>/dev/null
done
[ "$2" = keep ] || rm -rf "$1"
"#;

/// What becomes of the folder in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// It stays.
    Keep,
    /// It is taken away.
    Remove,
}

/// A watch over the processes whose ids lie in a folder. Dropped last, it finds nothing to do but to clear the folder.
#[derive(Debug)]
pub struct Watch(Child);

impl Watch {
    /// Over `folder`.
    ///
    /// # Errors
    /// Where no shell can be run.
    pub fn over(folder: &Path, afterwards: Folder) -> anyhow::Result<Self> {
        let afterwards = if afterwards == Folder::Keep { "keep" } else { "remove" };
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "watch"])
            .arg(folder)
            .arg(afterwards)
            // Not in our group, so that it outlives whatever ends us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run sh")?;
        Ok(Watch(child))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
