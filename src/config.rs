//! Every setting: one documented struct a section, the defaults of `config.default.toml`, a file over them, the environment on top.
//! Knows nothing of what the settings do, and nothing else in the project reads the environment.

pub mod live;
pub mod value;

pub use live::Live;
pub use value::Secret;

/// The commented defaults, which are also the reference of all settings.
pub const DEFAULTS: &str = include_str!("../config.default.toml");
