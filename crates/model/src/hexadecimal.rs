//! Bytes in hexadecimal.
//! Knows nothing of what the bytes are.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two lower-case digits a byte. The text is made in one piece, so nothing of a secret stays behind where it grew.
pub fn write(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(super::write(&[0, 1, 0x0f, 0x10, 0xa9, 0xff]), "00010f10a9ff");
        assert_eq!(super::write(&[]), "");
    }
}
