//! The key service of a local bundle: a master key in a file that only its owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use super::cipher::{Cipher, Encrypted, TAG_BYTES};
use super::context::Context;
use super::key_service::{DataKey, KeyBytes, KeyService, KeyServiceError};

const KEY_BYTES: usize = 32;

/// Read and write for the owner, nothing for anybody else.
const OWNER_ONLY: u32 = 0o600;

/// First byte of what this service wraps, so that a later form can be told apart.
const WRAPPING: u8 = 1;

const WRAPPED_BYTES: usize = 1 + NONCE_LEN + KEY_BYTES + TAG_BYTES;

/// Why a key file can't be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file can't be created or read.
    #[error("the key file {path} can't be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("the key file {path} has mode {mode:03o}; it must be readable by its owner only (chmod 600)")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a plain file of 32 bytes.
    #[error(
        "the key file {path} is not a file of 32 bytes; restore it, without it no stored secret can be read"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Wraps data keys with AES-256-GCM under the 32 bytes of a file. Losing the file loses every secret sealed under it.
#[derive(Debug)]
pub struct KeyFile {
    master: Cipher,
}

impl KeyFile {
    /// Opens the key file at `path`, or makes one with a random key if there is none. Of several processes that make
    /// one at the same time, all end up with the same key. Blocks for a few disk accesses.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn open_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(failed)?;
                File::open(path)
            }
            opened => opened,
        };
        let master = read(path, file.map_err(failed)?)?;
        Ok(Self { master: Cipher::new(&master) })
    }
}

#[async_trait]
impl KeyService for KeyFile {
    async fn generate_data_key(&self, context: &Context) -> Result<DataKey, KeyServiceError> {
        let plaintext = random_key().map_err(|error| KeyServiceError::Unavailable(error.to_string()))?;
        let encrypted = self.master.encrypt(&*plaintext, &additional_data(context));
        let wrapped = [&[WRAPPING][..], &encrypted.nonce, &encrypted.ciphertext].concat();
        Ok(DataKey { plaintext, wrapped })
    }

    async fn unwrap_data_key(&self, wrapped: &[u8], context: &Context) -> Result<KeyBytes, KeyServiceError> {
        let encrypted = parse_wrapped(wrapped).ok_or(KeyServiceError::Refused)?;
        let plaintext = self
            .master
            .decrypt(&encrypted, &additional_data(context))
            .map_err(|_| KeyServiceError::Refused)?;
        let mut key = KeyBytes::default();
        key.copy_from_slice(&plaintext);
        Ok(key)
    }
}

/// The label keeps wrapped keys apart from anything else that the master key might ever encrypt.
fn additional_data(context: &Context) -> Vec<u8> {
    [b"data key 1 ".as_slice(), &context.canonical()].concat()
}

fn parse_wrapped(wrapped: &[u8]) -> Option<Encrypted> {
    let rest = wrapped.strip_prefix(&[WRAPPING]).filter(|_| wrapped.len() == WRAPPED_BYTES)?;
    let (nonce, ciphertext) = rest.split_first_chunk()?;
    Some(Encrypted { nonce: *nonce, ciphertext: ciphertext.to_vec() })
}

fn random_key() -> io::Result<KeyBytes> {
    let mut key = KeyBytes::default();
    rand::fill(key.as_mut_slice()).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(key)
}

/// Writes the key beside `path` and then links it into place: a crash leaves either no key file or a whole one, and
/// the link, unlike a rename, never replaces a file that appeared meanwhile.
fn create(path: &Path) -> io::Result<()> {
    let mut suffix = [0; 8];
    rand::fill(&mut suffix).map_err(|_| io::Error::other("no random numbers"))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex::encode(suffix)));
    let draft = PathBuf::from(draft);

    let linked = write_draft(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    linked.and(removed)?;
    sync_directory(path)
}

fn write_draft(draft: &Path) -> io::Result<()> {
    let key = random_key()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    file.write_all(key.as_slice())?;
    file.sync_all()
}

/// Without this the new name may be lost with the power, after secrets were sealed under the key.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn read(path: &Path, mut file: File) -> Result<KeyBytes, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    if !metadata.is_file() || metadata.len() != KEY_BYTES as u64 {
        return Err(KeyFileError::Damaged { path: path.to_owned() });
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    file.read_exact(key.as_mut_slice()).map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::envelope::{Purpose, contract};

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn context() -> Context {
        Context::new("site", Purpose::SharedSecret, "record")
    }

    #[tokio::test]
    async fn fulfils_the_contract() {
        let directory = directory();
        contract::holds_for(&KeyFile::open_or_create(&directory.path().join("key")).expect("a key file"))
            .await;
    }

    #[tokio::test]
    async fn the_key_survives_and_another_file_has_another() {
        let directory = directory();
        let open = |name| KeyFile::open_or_create(&directory.path().join(name)).expect("a key file");
        let made = open("key").generate_data_key(&context()).await.expect("a key");
        assert_eq!(
            open("key").unwrap_data_key(&made.wrapped, &context()).await.as_ref(),
            Ok(&made.plaintext)
        );
        let other = open("other").unwrap_data_key(&made.wrapped, &context()).await;
        assert_eq!(other, Err(KeyServiceError::Refused));
    }

    #[test]
    fn the_file_is_private_and_alone() {
        let directory = directory();
        let path = directory.path().join("key");
        KeyFile::open_or_create(&path).expect("a key file");
        let metadata = fs::metadata(&path).expect("a file");
        assert_eq!((metadata.mode() & 0o777, metadata.len(), metadata.nlink()), (0o600, 32, 1));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        assert_ne!(fs::read(&path).expect("bytes"), [0; 32]);
    }

    #[test]
    fn a_file_that_others_may_touch_is_refused() {
        let directory = directory();
        let path = directory.path().join("key");
        KeyFile::open_or_create(&path).expect("a key file");
        for (mode, accepted) in [
            (0o644, false),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o601, false),
            (0o600, true),
            (0o400, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own file");
            let opened = KeyFile::open_or_create(&path);
            assert_eq!(opened.is_ok(), accepted, "{mode:o}");
            assert!(accepted || matches!(opened, Err(KeyFileError::Exposed { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let directory = directory();
        for length in [0, 31, 33] {
            let path = directory.path().join(length.to_string());
            fs::write(&path, vec![1; length]).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
            assert!(matches!(KeyFile::open_or_create(&path), Err(KeyFileError::Damaged { .. })), "{length}");
            assert_eq!(fs::read(&path).expect("still there").len(), length);
        }
        let missing = directory.path().join("no/such/folder/key");
        assert!(matches!(KeyFile::open_or_create(&missing), Err(KeyFileError::Io { .. })));
    }

    #[test]
    fn whoever_comes_first_makes_the_key() {
        let directory = directory();
        let path = directory.path().join("key");
        let keys = thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        KeyFile::open_or_create(&path).expect("a key file");
                        fs::read(&path).expect("bytes")
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let directory = directory();
        let path = directory.path().join("key");
        let printed = format!("{:?}", KeyFile::open_or_create(&path).expect("a key file"));
        let key = fs::read(&path).expect("bytes");
        assert!(!printed.contains(&hex::encode(&key)) && !printed.contains(&format!("{key:?}")), "{printed}");
    }

    proptest! {
        #[test]
        fn parsing_wrapped_keys_never_panics(bytes: Vec<u8>) {
            prop_assert!(parse_wrapped(&bytes).is_none() || bytes.len() == WRAPPED_BYTES);
        }
    }
}
