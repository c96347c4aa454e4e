//! Which layer answered whoever asked for a state: this node, the shared cache, or the database.

use std::sync::OnceLock;

use metrics::Counter;

/// Where a state was looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer {
    /// The memory of this node.
    Node,
    /// The cache that all nodes share.
    Shared,
    /// The database.
    Database,
}

/// Counts a look at a layer: `hit`, `miss`, `stale` (there, but of another epoch), `foreign` (another program's) or `error`.
pub(crate) fn count(layer: Layer, result: &'static str) {
    counter(layer, result).increment(1);
}

/// Counts something of ours in a form that only another build can read.
pub(crate) fn count_strange(carrier: &'static str) {
    metrics::counter!("pipecast_envelopes_unknown_total", "carrier" => carrier).increment(1);
}

/// The counter that every status request increments, looked up once.
#[derive(Default)]
pub(crate) struct Reads(OnceLock<Counter>);

impl Reads {
    /// Counts an answer from the memory of this node.
    pub(crate) fn count_hit(&self) {
        self.0.get_or_init(|| counter(Layer::Node, "hit")).increment(1);
    }
}

fn counter(layer: Layer, result: &'static str) -> Counter {
    let layer = match layer {
        Layer::Node => "node",
        Layer::Shared => "shared",
        Layer::Database => "database",
    };
    metrics::counter!("pipecast_cache_requests_total", "cache" => "status", "layer" => layer, "result" => result)
}
