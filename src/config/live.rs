//! Settings of sockets and event streams: section `[live]`. Knows nothing of the protocol that they bound.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Limits and times of WebSockets and SSE. What happens at each limit is written beside it in `config.default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Most topics that one socket watches at once.
    pub max_topics: usize,
    /// Most sockets and streams on this node.
    pub max_sockets: usize,
    /// Most sockets and streams without an account of one address (an IPv6 network of 64 bits counts as one); loopback is exempt.
    pub max_sockets_per_ip: usize,
    /// Most of them with an account, of one address.
    pub max_signed_in_sockets_per_ip: usize,
    /// Most sockets and streams of one account, its tokens included.
    pub max_sockets_per_user: usize,
    /// Most handshakes a second on this node; loopback is exempt.
    pub handshakes_per_second: u32,
    /// Handshakes a second of one address without an account; an account has ten times that; loopback is exempt.
    pub caller_handshakes_per_second: u32,
    /// The same at once.
    pub caller_handshake_burst: u32,
    /// Largest inbound frame in bytes of a `pipecast.v1` socket.
    #[serde(deserialize_with = "value::size")]
    pub inbound_frame: u64,
    /// Largest inbound frame in bytes of a plain socket, which has nothing to say.
    #[serde(deserialize_with = "value::size")]
    pub inbound_frame_plain: u64,
    /// Commands a second that one socket may send.
    pub commands_per_second: u32,
    /// Commands that one socket may send at once.
    pub command_burst: u32,
    /// Silence after which a socket is pinged.
    #[serde(deserialize_with = "value::duration")]
    pub ping: Duration,
    /// Silence after a ping after which a socket is closed.
    #[serde(deserialize_with = "value::duration")]
    pub pong: Duration,
    /// How long a socket lives, give or take 20 %, before it is asked to connect again.
    #[serde(deserialize_with = "value::duration")]
    pub lifetime: Duration,
    /// How long a socket that takes commands stays without a topic.
    #[serde(deserialize_with = "value::duration")]
    pub idle: Duration,
    /// Over which time a shutdown spreads the farewells.
    #[serde(deserialize_with = "value::duration")]
    pub drain_window: Duration,
    /// How long a socket may take no byte that waits for it.
    #[serde(deserialize_with = "value::duration")]
    pub stall: Duration,
    /// Origins, besides the service's own, from which browsers may open sockets: `https://ci.example.org`, compared exactly.
    pub allowed_origins: Vec<String>,
}
