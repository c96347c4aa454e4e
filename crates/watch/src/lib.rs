//! Topics on this node: the last value of each, who watches it, and healing from the database.
//! Knows nothing of HTTP or sockets; what a socket sends lies beside the value as opaque bytes, so that all sockets share it.

mod bell;
mod error;
mod feed;
mod fill;
mod foreign;
mod heal;
mod last;
mod reads;
mod telling;
mod watch;

pub use bell::Bell;
pub use error::Error;
pub use feed::{Feed, Listener};
pub use last::{Last, Rendering};
pub use watch::{Settings, Watch};

/// What the watch returns.
pub type Result<T> = std::result::Result<T, Error>;
