//! AES-256-GCM with random nonces, as `aws-lc-rs` offers it: the one place that touches the cipher.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

/// Bytes that GCM's tag adds to a text.
pub(super) const TAG_BYTES: usize = 16;

/// A nonce and what was encrypted under it, tag included.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Encrypted {
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) ciphertext: Vec<u8>,
}

/// Wrong key, wrong additional data or altered bytes; which one can't be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unauthentic;

/// A key that is ready to use. Its memory is the crypto library's, which overwrites it when it is freed.
#[derive(Debug)]
pub(super) struct Cipher {
    key: RandomizedNonceKey,
}

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { key: RandomizedNonceKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes") }
    }

    pub(super) fn encrypt(&self, plaintext: &[u8], additional: &[u8]) -> Encrypted {
        // Room for the tag, so that the clear text is not left behind in memory that was grown out of.
        let mut text = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_BYTES));
        text.extend_from_slice(plaintext);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(additional), &mut *text)
            .expect("AES-GCM fails only on texts of 64 GiB, and callers bound theirs to kilobytes");
        Encrypted { nonce: *nonce.as_ref(), ciphertext: std::mem::take(&mut *text) }
    }

    pub(super) fn decrypt(
        &self,
        encrypted: &Encrypted,
        additional: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let mut text = Zeroizing::new(encrypted.ciphertext.clone());
        let nonce = Nonce::assume_unique_for_key(encrypted.nonce);
        let length =
            self.key.open_in_place(nonce, Aad::from(additional), &mut text).map_err(|_| Unauthentic)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_short_texts_are_refused() {
        let cipher = Cipher::new(&[7; 32]);
        let (one, other) = (cipher.encrypt(b"text", b"x"), cipher.encrypt(b"text", b"x"));
        assert_ne!(one.nonce, other.nonce);
        assert_ne!(one.ciphertext, other.ciphertext);
        for length in 0..TAG_BYTES {
            let short = Encrypted { nonce: one.nonce, ciphertext: vec![0; length] };
            assert_eq!(cipher.decrypt(&short, b"x"), Err(Unauthentic));
        }
        assert_eq!(cipher.decrypt(&one, b"x").expect("authentic").as_slice(), b"text");
    }
}
