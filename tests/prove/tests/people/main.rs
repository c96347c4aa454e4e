//! People, programs and what they may, on the deployed topology: sessions that outlive the node that opened them, rights that end
//! everywhere within five seconds, tickets that are good once, and a Redis that can give nobody anything.
#![expect(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, dead_code, reason = "tests")]

mod ends;
mod forged;
mod house;
#[path = "../../../it/http.rs"]
mod http;
mod sessions;
#[path = "../../../it/socket.rs"]
mod socket;
mod tickets;
#[path = "../../../it/traces.rs"]
mod traces;
