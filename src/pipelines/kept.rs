//! Pages of the list of pipelines, kept in the memory of this node until any pipeline changes: who polls it costs no query then.
//! Knows nothing of what is on a page; whoever asks with the same words gets the same one, so they have to say who sees what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pipecast_http::{Problem, Rendered};
use pipecast_model::Topic;
use pipecast_watch::{Feed, Watch};

/// Pages that are kept; where there is one more, all others are forgotten.
const MOST: usize = 256;
/// Longer words than these are not kept.
const LONGEST: usize = 256;
/// How long a page is kept, however quiet it is: a replica may not have had yet what the bus had told, and the bus may lose what it tells.
const KEEP: Duration = Duration::from_millis(500);

/// The pages of this node.
pub struct Kept {
    watch: Watch,
    /// A short lock, never held over an await.
    pages: Mutex<HashMap<String, Arc<Slot>>>,
}

/// The page of one query. Whoever asks while it is being read waits for the same reading.
type Slot = tokio::sync::Mutex<Option<Answer>>;

struct Answer {
    /// Or why it could not be read.
    page: Result<Rendered, Problem>,
    /// When the reading began.
    read: Instant,
    /// The monitor's feed and its newest number before the reading. Held, not only named: a feed that is taken up again counts anew.
    monitor: Arc<Feed>,
    number: u64,
}

impl Answer {
    /// A reading that began after somebody had asked is good for him, whatever has come of it: or those who wait together would read
    /// one after the other.
    fn is_good(&self, asked: Instant, monitor: &Arc<Feed>) -> bool {
        self.read >= asked || (self.page.is_ok() && self.is_current(monitor))
    }

    fn is_current(&self, monitor: &Arc<Feed>) -> bool {
        Arc::ptr_eq(&self.monitor, monitor) && self.number == monitor.newest() && self.read.elapsed() < KEEP
    }
}

impl Kept {
    /// Nothing yet; `watch` says when something has changed.
    pub fn new(watch: Watch) -> Kept {
        Kept {
            watch,
            pages: Mutex::default(),
        }
    }

    /// The page that a query asks for: kept, or as `read` finds it now. Two who see different things have to ask with different words.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn page(&self, query: &str, read: impl Future<Output = Result<Rendered, Problem>>) -> Result<Rendered, Problem> {
        let monitor = match query.len() <= LONGEST {
            true => self.watch.follow(Topic::Monitor).await,
            false => None,
        };
        let Some(monitor) = monitor else {
            count("node", "bypass");
            return read.await;
        };
        let asked = Instant::now();
        let slot = self.slot(query);
        let mut answer = slot.lock().await;
        if let Some(answer) = answer.as_ref().filter(|answer| answer.is_good(asked, &monitor)) {
            count("node", "hit");
            return answer.page.clone();
        }
        count("node", "miss");
        // Before the reading: what changes while it goes on ends it.
        let (number, begun) = (monitor.newest(), Instant::now());
        let page = read.await;
        count("database", if page.is_ok() { "hit" } else { "error" });
        *answer = Some(Answer {
            page: page.clone(),
            read: begun,
            monitor,
            number,
        });
        page
    }

    fn slot(&self, query: &str) -> Arc<Slot> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = pages.get(query) {
            return Arc::clone(slot);
        }
        if pages.len() >= MOST {
            pages.clear();
        }
        Arc::clone(pages.entry(query.to_owned()).or_default())
    }
}

fn count(layer: &'static str, result: &'static str) {
    metrics::counter!("pipecast_cache_requests_total", "cache" => "pipelines", "layer" => layer, "result" => result).increment(1);
}
