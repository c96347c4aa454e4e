//! `pipecast simulate`: a model forge that tells its life to a running service as signed webhooks.
//! Knows nothing of the service's insides; it talks HTTP like any host.

pub mod body;
pub mod chance;
pub mod forge;
pub mod github;
pub mod gitlab;
pub mod life;
pub mod names;
pub mod run;
pub mod world;
