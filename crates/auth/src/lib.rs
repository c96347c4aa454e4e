//! Who may come in and what they may do: grants, passwords, tokens, and what a node remembers of them for a few seconds.
//! Knows nothing of HTTP, and writes nothing: whoever changes an account does that through the admin.

mod badge;
mod gatekeeper;
mod grants;
pub mod guessable;
pub mod homes;
mod internal;
mod jwt;
mod password;
mod proof;
mod secret;
pub mod throttle;
pub mod totp;
mod verifiers;

pub use badge::{Badge, Bearing};
pub use gatekeeper::{Admission, Entrant, FRESH_FOR, Gatekeeper, Presented, Refusal};
pub use grants::Grants;
pub use jwt::{Audience, Claims, PublicKey, SigningPair};
pub use password::{Busy, Cost, NoCost, Passwords};
pub use proof::Proof;
pub use secret::{Kind, Minted, Shown, hash, is_ours, mint, mint_token, prefix_of, random_text, same};
