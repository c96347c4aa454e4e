//! Intake from the outside: real payloads, known traps, every order, and bodies gone wrong.
//! Knows nothing of the database.

#![expect(clippy::unwrap_used, reason = "tests")]

mod deliveries;
mod lives;
mod mutations;
mod orders;
mod payloads;
mod shapes;
mod traps;
