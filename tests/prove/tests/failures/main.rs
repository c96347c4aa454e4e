//! The rows of the failure matrix that need processes: what senders and watchers see of each fault, how long it takes until all is as it
//! should be, and that nothing is lost or done twice by it. docs/testing.md has the whole matrix.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which print what they measured")]

mod edge;
mod house;
mod postgres;
mod rabbitmq;
mod redis;
#[path = "../../../it/socket.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests of the service use more of it")]
mod socket;
mod standby;
mod worker;
