//! nginx with the very files that are deployed; only the two that differ by place are made here, one of them from the deployed one.
//! Knows nothing of what it passes on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process::{Process, Readiness, Recipe};
use crate::{ports, root};

/// Makes one in front of `edges` and `admin`; it does not run yet.
pub fn prepare(folder: &Path, edges: &[SocketAddr], admin: SocketAddr) -> anyhow::Result<Process> {
    let (address, room) = (ports::free()?, folder.join("nginx"));
    for part in ["here", "run"] {
        std::fs::create_dir_all(room.join(part))?;
    }
    std::fs::copy(root().join("frontend-proxy.conf"), room.join("frontend-proxy.conf"))?;
    std::fs::copy(root().join("deploy/proxy/nginx.conf"), room.join("nginx.conf"))?;
    std::fs::write(room.join("here/listen.conf"), format!("listen {address};\n"))?;
    let deployed = std::fs::read_to_string(root().join("deploy/proxy/compose/upstreams.conf"))?;
    std::fs::write(room.join("here/upstreams.conf"), upstreams(&deployed, edges, admin))?;
    let program = program()?;
    Ok(Process::new(Recipe {
        name: "nginx".to_owned(),
        address,
        folder: folder.to_owned(),
        command: Box::new(move || {
            let mut command = Command::new(&program);
            command
                .arg("-p")
                .arg(room.join("run"))
                .arg("-c")
                .arg(room.join("nginx.conf"))
                .args(["-e", "stderr", "-g", "daemon off;"]);
            command
        }),
        readiness: Readiness::Listens,
        farewell: "TERM",
    }))
}

/// The deployed upstreams with other addresses: every parameter stays as it is.
fn upstreams(deployed: &str, edges: &[SocketAddr], admin: SocketAddr) -> String {
    let mut lines = Vec::new();
    for line in deployed.lines() {
        match line.trim() {
            line if line.starts_with("resolver ") => {}
            line if line.starts_with("server realtime-1:") => {
                lines.extend(
                    edges
                        .iter()
                        .map(|edge| line.replacen("realtime-1:8001", &edge.to_string(), 1).replace(" resolve", "")),
                );
            }
            line if line.starts_with("server realtime-") => {}
            line if line.starts_with("server admin:") => lines.push(line.replacen("admin:8000", &admin.to_string(), 1).replace(" resolve", "")),
            line => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

fn program() -> anyhow::Result<PathBuf> {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .map(PathBuf::from)
        .find(|program| program.exists())
        .context("needs nginx; on Debian: apt-get install nginx-light")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_deployed_upstreams_keep_their_parameters() {
        let deployed = std::fs::read_to_string(root().join("deploy/proxy/compose/upstreams.conf")).unwrap();
        let edges = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(|edge| edge.parse().unwrap());

        let made = upstreams(&deployed, &edges, "127.0.0.1:4".parse().unwrap());

        assert_eq!(made.matches("server 127.0.0.1:3 max_fails=3 fail_timeout=3s;").count(), 2, "{made}");
        assert_eq!(made.matches("server 127.0.0.1:3 max_fails=0;").count(), 1, "{made}");
        assert_eq!(made.matches("server 127.0.0.1:4;").count(), 1, "{made}");
        assert!(!made.contains("realtime-") && !made.contains("resolve"), "{made}");
    }
}
