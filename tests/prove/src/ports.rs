//! Ports for servers that go away and come back; the tests of other crates take them from this very file.
//! Knows nothing of who listens there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below this no server of ours listens; others have their places there.
const LOWEST: u16 = 12_000;

/// An address of loopback at which nobody listens now. It is not one of those that the kernel gives to connections on their way out: while
/// a server is away its port must not be taken by one of them.
///
/// # Errors
/// Where there is none.
pub fn free() -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let room = end
        .checked_sub(LOWEST)
        .filter(|room| *room > 0)
        .ok_or_else(|| io::Error::other("the kernel gives all ports to connections"))?;
    // Processes start their search at different places, so that two of them at once seldom find the same port.
    let first = u16::try_from(u64::from(std::process::id()) * 131 % u64::from(room)).expect("less than the room");
    (0..room)
        .map(|_| LOWEST + (u32::from(first) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))).rem_euclid(u32::from(room)) as u16)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| io::Error::other("every port is taken"))
}
