//! WebSocket frames and server-sent events as bytes, made once and shared. Knows nothing of sockets.

use bytes::{BufMut, Bytes, BytesMut};
use pipecast_watch::{Last, Rendering};

/// A ping without payload (RFC 6455 §5.5.2).
pub const PING: Bytes = Bytes::from_static(&[0x89, 0x00]);

/// A comment that keeps an event stream alive through proxies.
pub const HEARTBEAT: Bytes = Bytes::from_static(b": hb\n\n");

/// Longest payload of a control frame (RFC 6455 §5.5).
const MOST_CONTROL: usize = 125;

/// An unfragmented, unmasked text frame.
pub fn text(json: &str) -> Bytes {
    frame(0x81, json.as_bytes())
}

/// A pong with the payload of the ping that it answers.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(0x8A, &payload[..payload.len().min(MOST_CONTROL)])
}

/// A close frame. The reason is ASCII of ours and short.
pub fn close(code: u16, reason: &str) -> Bytes {
    let payload = [&code.to_be_bytes(), &reason.as_bytes()[..reason.len().min(MOST_CONTROL - 2)]].concat();
    frame(0x88, &payload)
}

fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(first);
    match payload.len() {
        short @ 0..=125 => frame.put_u8(short as u8),
        medium @ 126..=65_535 => {
            frame.put_u8(126);
            frame.put_u16(medium as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// One server-sent event. JSON has no line breaks, so its data is one line.
pub fn event(kind: &str, id: Option<&str>, json: &str) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {kind}\ndata: {json}\n\n"))
}

/// A value as the first thing that a socket sees.
pub fn socket_snapshot(last: &Last) -> Bytes {
    Bytes::clone(last.rendering(Rendering::SocketSnapshot, |last| text(&last.json("snapshot"))))
}

/// A value as a change on a socket.
pub fn socket_change(last: &Last) -> Bytes {
    Bytes::clone(last.rendering(Rendering::SocketChange, |last| text(&last.json("status_change"))))
}

/// A value as the first event of a stream.
pub fn event_snapshot(last: &Last) -> Bytes {
    Bytes::clone(last.rendering(Rendering::EventSnapshot, |last| event("snapshot", last.id.as_deref(), &last.json("snapshot"))))
}

/// A value as a change on an event stream.
pub fn event_change(last: &Last) -> Bytes {
    Bytes::clone(last.rendering(Rendering::EventChange, |last| {
        event("status_change", last.id.as_deref(), &last.json("status_change"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_written_in_the_shortest_form() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(&"a".repeat(length));

            assert_eq!(&frame[..header.len()], header, "{length}");
            assert_eq!(frame.len(), header.len() + length);
        }
    }

    #[test]
    fn a_close_says_why() {
        assert_eq!(&close(1012, "restart")[..], b"\x88\x09\x03\xf4restart");
    }
}
