//! Panics: each is one line of the log and one more in the metrics, and one below a handler is the answer 500 of that request alone.
//! Knows nothing of what panicked.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use pipecast_http::{Code, Problem};
use tracing::error;
use uuid::Uuid;

/// The metric. It is there from the start on, so that its first rise shows.
pub const PANICS: &str = "pipecast_panics_total";

/// Characters of a message that are kept: one of the standard library quotes the text that was cut at a wrong place.
const LONGEST: usize = 200;

thread_local! {
    /// Whether a request is worked on here, whose answer bears the id under which the log speaks of it.
    static IS_REQUEST: Cell<bool> = const { Cell::new(false) };
    /// What panicked in it.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// A panic, as the hook sees it.
struct Seen {
    message: String,
    location: String,
    thread: String,
    backtrace: Option<String>,
}

/// From now on panics of this process are told here alone.
pub fn watch() {
    std::panic::set_hook(Box::new(report));
}

/// Counts a panic, and tells of it unless whoever catches it does.
pub fn report(info: &PanicHookInfo<'_>) {
    metrics::counter!(PANICS).increment(1);
    let seen = Seen::of(info);
    if IS_REQUEST.get() {
        SEEN.set(Some(seen));
    } else {
        seen.tell(None);
    }
}

/// Does it, and where it panics there is a problem to answer with.
///
/// # Errors
/// `internal`.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    let before = IS_REQUEST.replace(true);
    // Whatever was in the middle of a change is dropped with the request; what requests share is behind locks that outlive a panic.
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_REQUEST.set(before);
    done.map_err(|_| {
        let problem = Problem::new(Code::Internal);
        if let Some(seen) = SEEN.take() {
            seen.tell(Some(problem.request_id()));
        }
        problem
    })
}

/// The same for what is not done at once. Nothing is allocated where nothing panics.
///
/// # Errors
/// `internal`.
pub(super) async fn catch_all<F: Future>(work: F) -> Result<F::Output, Problem> {
    let mut work = pin!(work);
    poll_fn(move |cx| match catch(|| work.as_mut().poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(problem) => Poll::Ready(Err(problem)),
    })
    .await
}

impl Seen {
    fn of(info: &PanicHookInfo<'_>) -> Seen {
        let backtrace = Backtrace::capture();
        Seen {
            message: message_of(info.payload()).chars().take(LONGEST).collect(),
            location: info.location().map(ToString::to_string).unwrap_or_default(),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            backtrace: (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
        }
    }

    fn tell(&self, request: Option<Uuid>) {
        let Seen {
            message,
            location,
            thread,
            backtrace,
        } = self;
        let request = request.map(tracing::field::display);
        error!(request.id = request, location, thread, backtrace, "a defect: panicked at {location}: {message}");
    }
}

fn message_of(payload: &dyn Any) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("it says nothing of itself")
}
