//! Formats numbers as text.
//!
//! Formatting with `fmt` would cost more than encoding the rest of a small frame.

use std::array;

/// Writes a number into `digits` as decimal text. Returns the part of `digits` that was written.
pub(in crate::cluster) fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        // This cannot underflow, since `u64::MAX` has 20 digits.
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

pub(in crate::cluster) fn hexadecimal(number: u64) -> [u8; 16] {
    array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 0xf])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_match_fmt() {
        for number in [0, 1, 9, 10, 4096, 1_048_576, usize::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
        for number in [0, 1, 0xabc, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(hexadecimal(number), format!("{number:016x}").as_bytes());
        }
    }
}
