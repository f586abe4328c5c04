//! Masking and unmasking of payloads (RFC 6455 section 5.3).

/// Masks or unmasks `data` in place, eight bytes at a time. Both are the same operation.
pub(super) fn unmask(data: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    // Both conversions use native byte order, so the result is the same on every platform.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, tail) = data.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    // The tail starts at a multiple of eight, so its first byte uses the first byte of the key.
    for (byte, key) in tail.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_formula_at_every_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut data = plain.clone();
            unmask(&mut data, key);
            let expected: Vec<u8> =
                plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            assert_eq!(data, expected, "length {length}");
        }
    }

    #[test]
    fn rfc_example() {
        // The masked "Hello" of RFC 6455 section 5.7.
        let mut data = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut data, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&data, b"Hello");
    }
}
