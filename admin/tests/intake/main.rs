//! Intake from the outside: real payloads, known traps, every order, and bodies gone wrong.
//! Knows nothing of the database.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail loudly, and say what they left out")]

mod database;
mod deliveries;
mod lives;
mod mutations;
mod orders;
mod payloads;
mod shapes;
mod traps;
