//! A checksum over bytes, to tell a damaged record from a sound one.
//!
//! CRC-64/XZ: finds every change of up to 64 neighbouring bits, and others but once in 2^64. Against
//! rot, not against an attacker, who could as well write the right checksum.
//!
//! Source: ECMA-182 polynomial in the reflected form that the `.xz` file format fixes; its check
//! value for "123456789" is 0x995DC9BBDF1939FA.

const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0_u64; 256];
    let mut index = 0;
    while index < 256 {
        let mut remainder = index as u64;
        let mut bit = 0;
        while bit < 8 {
            let carry = if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
            remainder = (remainder >> 1) ^ carry;
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
    }
    table
}

/// The checksum of the parts, each preceded by its length, so that bytes cannot move between them.
pub(crate) fn of_parts(parts: &[&[u8]]) -> u64 {
    let mut state = u64::MAX;
    for part in parts {
        state = update(state, &(part.len() as u64).to_le_bytes());
        state = update(state, part);
    }
    !state
}

fn update(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| {
        let index = (state ^ u64::from(*byte)) & 0xFF;
        TABLE[index as usize] ^ (state >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value_comes_out() {
        assert_eq!(!update(u64::MAX, b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    #[test]
    fn bytes_that_move_between_parts_change_it() {
        assert_ne!(of_parts(&[b"ab", b"c"]), of_parts(&[b"a", b"bc"]));
    }
}
