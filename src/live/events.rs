//! An event stream as the body of its answer: the same states as on a socket, written as server-sent events.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::connection::{Connection, jittered};
use super::frame;
use super::rights::News;
use crate::config;

/// A comment goes out at least this often (the WHATWG standard suggests every 15 seconds, for proxies that end silent streams).
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The body of an event stream.
pub struct Events {
    connection: Connection,
    opening: Option<Bytes>,
    ends: Instant,
    is_over: bool,
}

impl Events {
    /// A stream that starts with what its connection watches.
    pub fn new(connection: Connection, settings: &config::Live) -> Self {
        let retry = 2_000 + rand::random_range(0..1_000);
        let opening = Some(Bytes::from(format!("retry: {retry}\n\n")));
        Events {
            opening,
            ends: connection.end(jittered(settings.lifetime)),
            is_over: false,
            connection,
        }
    }

    /// The last words: when to come back.
    fn end(&mut self, retry_ms: u64) -> Bytes {
        self.is_over = true;
        Bytes::from(format!("retry: {retry_ms}\n: bye\n\n"))
    }
}

impl MessageBody for Events {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let events = self.get_mut();
        if events.is_over {
            return Poll::Ready(None);
        }
        if let Some(opening) = events.opening.take() {
            return Poll::Ready(Some(Ok(opening)));
        }
        let calls = events.connection.seat.sleep(cx.waker());
        if let Some(retry_ms) = calls.leave {
            let farewell = events.end(retry_ms);
            return Poll::Ready(Some(Ok(farewell)));
        }
        // What they may not see any more is said by the answer to their next request.
        let news = events.connection.news();
        let is_over = match news {
            Some(News::Gone) => true,
            Some(News::Changed | News::Touched) => !events.connection.withdraw().is_empty(),
            None => false,
        };
        if is_over {
            let farewell = events.end(rand::random_range(0..1_000));
            return Poll::Ready(Some(Ok(farewell)));
        }
        if news == Some(News::Changed) {
            events.connection.show_anew();
        }
        if calls.clock {
            if Instant::now() >= events.ends {
                let farewell = events.end(rand::random_range(0..1_000));
                return Poll::Ready(Some(Ok(farewell)));
            }
            let left = events.ends.saturating_duration_since(Instant::now());
            events.connection.seat.wait(HEARTBEAT.min(left));
            return Poll::Ready(Some(Ok(frame::HEARTBEAT)));
        }
        match events.connection.take() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => Poll::Pending,
        }
    }
}
