//! What a client says on its socket: bytes become messages, and nothing is kept beyond what one message may hold.
//! Knows nothing of what a message means.
//!
//! The library's own stream of messages comes with a channel for sending, about 2 KiB for each socket, which nobody needs here: a
//! socket is the body of its handshake. So the library shakes hands and parses frames, and this collects them.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::ws::{Codec, Frame, Item, ProtocolError};
use actix_web::dev::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio_util::codec::Decoder;

use super::guard::Guard;

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes; no profile has a use for them.
    Binary,
    /// To be answered with its payload.
    Ping(Bytes),
    /// An answer to our ping.
    Pong,
    /// The client says goodbye.
    Close,
}

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame, or a message in several, is larger than a message may be.
    TooBig,
    /// A text that is no UTF-8.
    NotUtf8,
    /// Not the protocol of RFC 6455.
    Protocol,
    /// The connection has ended.
    Gone,
}

/// The reading side of a socket.
pub struct Inbound {
    payload: Payload,
    guard: Guard,
    codec: Codec,
    /// What has come and is no whole frame yet. The guard keeps it below one frame and what arrives at once.
    bytes: BytesMut,
    /// The parts of a message that comes in several frames, and whether it is a text.
    parts: Option<(bool, BytesMut)>,
    most: usize,
    broken: Option<Broken>,
}

impl Inbound {
    /// Reads messages of at most `most` bytes.
    pub fn new(payload: Payload, most: u64) -> Self {
        let bytes = usize::try_from(most).unwrap_or(usize::MAX);
        Inbound {
            payload,
            guard: Guard::new(most),
            codec: Codec::new().max_size(bytes),
            bytes: BytesMut::new(),
            parts: None,
            most: bytes,
            broken: None,
        }
    }

    /// The next message. After an error there is none, and the same error again.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Broken>> {
        loop {
            if let Some(broken) = self.broken {
                return Poll::Ready(Err(broken));
            }
            let frame = if self.bytes.is_empty() {
                Ok(None)
            } else {
                self.codec.decode(&mut self.bytes)
            };
            match frame {
                Ok(Some(frame)) => match self.collect(frame) {
                    Ok(Some(message)) => return Poll::Ready(Ok(message)),
                    Ok(None) => {}
                    Err(broken) => self.broken = Some(broken),
                },
                Ok(None) => match Pin::new(&mut self.payload).poll_next(cx) {
                    Poll::Ready(Some(Ok(bytes))) if self.guard.allows(&bytes) => self.bytes.extend_from_slice(&bytes),
                    Poll::Ready(Some(Ok(_))) => self.broken = Some(Broken::TooBig),
                    Poll::Ready(Some(Err(_)) | None) => self.broken = Some(Broken::Gone),
                    Poll::Pending => {
                        if self.bytes.is_empty() {
                            // A socket is silent for most of its life.
                            self.bytes = BytesMut::new();
                        }
                        return Poll::Pending;
                    }
                },
                Err(ProtocolError::Overflow) => self.broken = Some(Broken::TooBig),
                Err(_) => self.broken = Some(Broken::Protocol),
            }
        }
    }

    fn collect(&mut self, frame: Frame) -> Result<Option<Message>, Broken> {
        let item = match frame {
            Frame::Text(bytes) => return text(&bytes).map(Some),
            Frame::Binary(_) => return Ok(Some(Message::Binary)),
            Frame::Ping(bytes) => return Ok(Some(Message::Ping(bytes))),
            Frame::Pong(_) => return Ok(Some(Message::Pong)),
            Frame::Close(_) => return Ok(Some(Message::Close)),
            Frame::Continuation(item) => item,
        };
        let (bytes, is_last) = match item {
            Item::FirstText(bytes) => {
                self.parts = Some((true, BytesMut::new()));
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.parts = Some((false, BytesMut::new()));
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let (_, parts) = self.parts.as_mut().ok_or(Broken::Protocol)?;
        if parts.len() + bytes.len() > self.most {
            return Err(Broken::TooBig);
        }
        parts.extend_from_slice(&bytes);
        if !is_last {
            return Ok(None);
        }
        match self.parts.take() {
            Some((true, parts)) => text(&parts).map(Some),
            _ => Ok(Some(Message::Binary)),
        }
    }
}

fn text(bytes: &[u8]) -> Result<Message, Broken> {
    std::str::from_utf8(bytes)
        .map(|text| Message::Text(text.to_owned()))
        .map_err(|_| Broken::NotUtf8)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What an inbound of at most ten bytes a message makes of these frames, sent as chunks of `size` bytes.
    fn heard(frames: &[(u8, &[u8])], size: usize) -> Vec<Result<Message, Broken>> {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, payload)| [&[*first, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat())
            .collect();
        let chunks: Vec<_> = bytes.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let chunks: Pin<Box<dyn Stream<Item = _>>> = Box::pin(futures_util::stream::iter(chunks));
        let payload = Payload::Stream { payload: chunks };
        let mut inbound = Inbound::new(payload, 10);
        let mut cx = Context::from_waker(Waker::noop());
        let mut heard = Vec::new();
        while let Poll::Ready(message) = inbound.poll_message(&mut cx) {
            let ended = message.is_err();
            heard.push(message);
            if ended {
                break;
            }
        }
        heard
    }

    #[test]
    fn messages_come_out_whole_wherever_the_bytes_break() {
        let frames: [(u8, &[u8]); 6] = [
            (0x81, b"hello"),
            (0x01, b"in "),
            (0x89, b"p"),
            (0x00, b"three "),
            (0x80, b"!"),
            (0x88, &[0x03, 0xE8]),
        ];

        for size in 1..40 {
            let text = |text: &str| Ok(Message::Text(text.into()));
            let expected = [
                text("hello"),
                Ok(Message::Ping(Bytes::from_static(b"p"))),
                text("in three !"),
                Ok(Message::Close),
                Err(Broken::Gone),
            ];
            assert_eq!(heard(&frames, size), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_message_in_parts_is_bounded_like_one_in_a_single_frame() {
        assert_eq!(heard(&[(0x01, b"123456"), (0x80, b"78901")], 100), [Err(Broken::TooBig)]);
        assert_eq!(heard(&[(0x81, b"12345678901")], 100), [Err(Broken::TooBig)]);
    }

    #[test]
    fn what_is_not_the_protocol_ends_it() {
        assert_eq!(heard(&[(0x80, b"no beginning")], 100), [Err(Broken::TooBig)]);
        assert_eq!(heard(&[(0x80, b"lost")], 100), [Err(Broken::Protocol)]);
        assert_eq!(heard(&[(0x81, b"\xFF")], 100), [Err(Broken::NotUtf8)]);
    }
}
