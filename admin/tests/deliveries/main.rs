//! From the queue to database, cache and bus, with the embedded backends and a real database.
//! Knows nothing of HTTP and signatures: deliveries come as the edge puts them on the queue.
#![expect(clippy::unwrap_used, reason = "tests")]

mod announcements;
mod faults;
mod house;
