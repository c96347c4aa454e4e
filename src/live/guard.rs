//! Reads the headers of inbound frames before anything is buffered.
//!
//! The WebSocket parser behind this keeps collecting a frame before it looks at the length that the frame declares, so one
//! header can cost any amount of memory. The guard refuses such a header before its first byte of payload.

/// Allows bytes as long as every frame declares at most `most` bytes.
pub struct Guard {
    most: u64,
    /// Bytes of the current frame's payload and mask that are still to come.
    rest: u64,
    /// The part of a header that has come so far; a header has at most ten bytes before its mask.
    header: [u8; 10],
    header_length: u8,
}

impl Guard {
    /// A guard before the first byte.
    pub fn new(most: u64) -> Self {
        Guard {
            most,
            rest: 0,
            header: [0; 10],
            header_length: 0,
        }
    }

    /// Walks over the frames in `bytes`. False at the first header that declares too much.
    pub fn allows(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let step = usize::try_from(self.rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
                self.rest -= step as u64;
                bytes = &bytes[step..];
                continue;
            }
            self.header[usize::from(self.header_length)] = bytes[0];
            self.header_length += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.declared() {
                if length > self.most {
                    return false;
                }
                let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
                self.rest = length + mask;
                self.header_length = 0;
            }
        }
        true
    }

    /// The length that the header declares, once enough of it has come.
    fn declared(&self) -> Option<u64> {
        let header = &self.header[..usize::from(self.header_length)];
        match header.get(1)? & 0x7F {
            126 => Some(u64::from(u16::from_be_bytes(header.get(2..4)?.try_into().expect("two bytes")))),
            127 => Some(u64::from_be_bytes(header.get(2..10)?.try_into().expect("eight bytes"))),
            short => Some(u64::from(short)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(most: u64, chunks: &[&[u8]]) -> Vec<bool> {
        let mut guard = Guard::new(most);
        chunks.iter().map(|chunk| guard.allows(chunk)).collect()
    }

    #[test]
    fn a_header_that_declares_too_much_is_stopped_before_its_payload() {
        let sixteen_gib = [&[0x82, 0xFF][..], &(16u64 << 30).to_be_bytes()].concat();

        assert_eq!(verdict(65_536, &[&sixteen_gib]), [false]);
        assert_eq!(verdict(65_536, &[&[0x82], &[0xFE, 0xFF, 0xFF]]), [true, true], "65,535 is allowed");
        assert_eq!(verdict(4_096, &[&[0x82, 0xFE, 0x10, 0x01]]), [false], "4,097 is not");
    }

    #[test]
    fn it_finds_the_next_header_wherever_the_chunks_break() {
        let small = [&[0x81, 0x83, 1, 2, 3, 4][..], b"abc"].concat();
        let large = [&[0x81, 0xFF][..], &(1u64 << 40).to_be_bytes()].concat();
        let stream = [&small[..], &small, &large].concat();

        for size in 1..stream.len() {
            let chunks: Vec<_> = stream.chunks(size).collect();
            let verdicts = verdict(4_096, &chunks);
            assert_eq!(verdicts.iter().filter(|allowed| !**allowed).count(), 1, "chunks of {size}");
            assert_eq!(verdicts.last(), Some(&false), "chunks of {size}");
        }
    }
}
