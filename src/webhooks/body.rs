//! Receives a raw body within limits: its size, its time, and what all bodies together may hold.
//! Knows nothing of signatures; it never decompresses, because what was signed is what came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pipecast_http::{Code, Problem};

/// How much is set aside at once on a sender's word alone.
const MOST_ON_TRUST: u64 = 64 << 10;

/// What all bodies that are being received may hold together.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<AtomicU64>,
}

/// A share of the budget, given back when it is dropped.
#[derive(Debug)]
struct Share {
    budget: Budget,
    bytes: u64,
}

/// The limits of a body.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Largest body in bytes.
    pub(super) max_body: u64,
    /// Longest time for it to arrive.
    pub(super) read_deadline: Duration,
    /// Shared by all.
    pub(super) budget: Budget,
}

/// A body and its share of the budget, which lasts as long as this does.
#[derive(Debug)]
pub(super) struct Received {
    /// Byte for byte as it came.
    pub(super) bytes: Bytes,
    _share: Share,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(bytes: u64) -> Budget {
        Budget {
            left: Arc::new(AtomicU64::new(bytes)),
        }
    }

    fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_| {
            Problem::new(Code::Unavailable)
                .detail("too many bodies are being received at once")
                .retry_after(Duration::from_secs(5))
        })?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Limits {
    /// Judges by the headers alone, before a byte is read.
    ///
    /// # Errors
    /// `too_large` by the declared length, `unsupported_encoding` for a compressed body.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(Problem::new(Code::UnsupportedEncoding).detail("send the body without Content-Encoding"));
        }
        if declared_length(headers).is_some_and(|length| length > self.max_body) {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// `too_large`, `body_timeout`, `unavailable` where the budget is spent, `malformed` where the connection breaks.
    pub(super) async fn read(&self, headers: &HeaderMap, payload: web::Payload) -> Result<Received, Problem> {
        tokio::time::timeout(self.read_deadline, self.read_all(headers, payload))
            .await
            .unwrap_or_else(|_| Err(Problem::new(Code::BodyTimeout).detail(format!("the limit is {} s", self.read_deadline.as_secs()))))
    }

    async fn read_all(&self, headers: &HeaderMap, mut payload: web::Payload) -> Result<Received, Problem> {
        let mut share = self.budget.share();
        let capacity = declared_length(headers).unwrap_or(0).min(MOST_ON_TRUST);
        let mut body = BytesMut::with_capacity(usize::try_from(capacity).unwrap_or(0));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::new(Code::Malformed).detail("the body broke off"))?;
            if (body.len() + chunk.len()) as u64 > self.max_body {
                return Err(self.too_large());
            }
            share.grow(chunk.len() as u64)?;
            body.extend_from_slice(&chunk);
        }
        Ok(Received {
            bytes: body.freeze(),
            _share: share,
        })
    }

    fn too_large(&self) -> Problem {
        Problem::new(Code::TooLarge).detail(format!("the limit is {} bytes", self.max_body))
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_gives_back_what_it_took() {
        let budget = Budget::new(100);
        let mut first = budget.share();
        first.grow(60).expect("there is room");
        let mut second = budget.share();

        assert_eq!(second.grow(41).expect_err("there is none").code(), Code::Unavailable);
        second.grow(40).expect("exactly enough");
        drop(first);

        second.grow(60).expect("given back");
    }
}
