//! Unguessable values: ids of deliveries and secrets of tokens.

use aws_lc_rs::rand;

/// Bytes from the system's random source.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random source works");
    bytes
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let mut raw: [u8; 16] = bytes();
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    let digits = hex::encode(raw);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// The secret of an access token, in GitLab's form.
pub(crate) fn token() -> String {
    format!("glpat-{}", hex::encode(bytes::<10>()))
}
