//! The key service of a local bundle: a master key in a file that only its owner may read, and while it is rotated the key
//! before it, too. Which secrets are sealed again when belongs to whoever rotates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::cipher::{Cipher, Encrypted, TAG_BYTES};
use super::context::EncryptionContext;
use super::key_service::{DataKey, KeyBytes, KeyService, KeyServiceError};
use async_trait::async_trait;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::rand;
use thiserror::Error;

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
    /// It is not a plain file of one key, or of two.
    #[error(
        "the key file {path} is not a file of 32 bytes, or of 64 in the middle of a rotation; restore it, without it no stored \
         secret can be read"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Keys in a file, at most: the newest, and the one before it.
const MAX_KEYS: usize = 2;

/// Wraps data keys with AES-256-GCM under the first 32 bytes of a file, and unwraps what was wrapped under any 32 of it.
/// Losing the file loses every secret sealed under it.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// In the file's order: the newest first. Never empty.
    masters: RwLock<Vec<Arc<Cipher>>>,
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
        let opened = Self { path: path.to_owned(), masters: RwLock::default() };
        opened.use_keys(&read(path, file.map_err(failed)?)?);
        Ok(opened)
    }

    /// Begins a rotation: from now on a new key wraps, and the old one still unwraps. `false`: one was begun already,
    /// and goes on. Blocks for a few disk accesses.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]; then the old key still wraps.
    pub fn add_key(&self) -> Result<bool, KeyFileError> {
        if self.masters().len() == MAX_KEYS {
            return Ok(false);
        }
        let new = random_key().map_err(|source| self.failed(source))?;
        let mut keys = self.keys()?;
        // What this very call wrote, if it failed before the new key was in use.
        if keys.len() < MAX_KEYS {
            keys.insert(0, new);
            replace(&self.path, &keys).map_err(|source| self.failed(source))?;
        }
        self.use_keys(&keys);
        Ok(true)
    }

    /// Ends a rotation: forgets the old key. What is still wrapped under it is lost. Blocks for a few disk accesses.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]; then the old key still unwraps.
    pub fn remove_old_key(&self) -> Result<(), KeyFileError> {
        let mut keys = self.keys()?;
        keys.truncate(1);
        replace(&self.path, &keys).map_err(|source| self.failed(source))?;
        self.use_keys(&keys);
        Ok(())
    }

    /// The newest key alone: it unwraps only what needs no other key any more.
    #[must_use]
    pub fn newest(&self) -> Self {
        Self { path: self.path.clone(), masters: RwLock::new(self.masters()[..1].to_vec()) }
    }

    fn keys(&self) -> Result<Vec<KeyBytes>, KeyFileError> {
        read(&self.path, File::open(&self.path).map_err(|source| self.failed(source))?)
    }

    fn masters(&self) -> Vec<Arc<Cipher>> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn use_keys(&self, keys: &[KeyBytes]) {
        let masters = keys.iter().map(|key| Arc::new(Cipher::new(key))).collect();
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = masters;
    }

    fn failed(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.path.clone(), source }
    }
}

#[async_trait]
impl KeyService for KeyFile {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<DataKey, KeyServiceError> {
        let plaintext = random_key().map_err(|error| KeyServiceError::Unavailable(error.to_string()))?;
        let encrypted = self.masters()[0].encrypt(&*plaintext, &additional_data(context));
        let wrapped = [&[WRAPPING][..], &encrypted.nonce, &encrypted.ciphertext].concat();
        Ok(DataKey { plaintext, wrapped })
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<KeyBytes, KeyServiceError> {
        let encrypted = parse_wrapped(wrapped).ok_or(KeyServiceError::Refused)?;
        let additional = additional_data(context);
        let decrypt = |master: &Arc<Cipher>| master.decrypt(&encrypted, &additional).ok();
        let plaintext = self.masters().iter().find_map(decrypt).ok_or(KeyServiceError::Refused)?;
        let mut key = KeyBytes::default();
        key.copy_from_slice(&plaintext);
        Ok(key)
    }
}

/// The label keeps wrapped keys apart from anything else that the master key might ever encrypt.
fn additional_data(context: &EncryptionContext) -> Vec<u8> {
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

/// Writes a key beside `path` and then links it into place: a crash leaves either no key file or a whole one, and
/// the link, unlike a rename, never replaces a file that appeared meanwhile.
fn create(path: &Path) -> io::Result<()> {
    let draft = draft_of(path)?;
    let linked = write_draft(&draft, &[random_key()?]).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    linked.and(removed)?;
    sync_directory(path)
}

/// Writes keys beside `path` and then renames them into place: a crash leaves either the old file or the new one.
fn replace(path: &Path, keys: &[KeyBytes]) -> io::Result<()> {
    let draft = draft_of(path)?;
    if let Err(error) = write_draft(&draft, keys).and_then(|()| fs::rename(&draft, path)) {
        // It has keys in it, and nobody will look for it.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    sync_directory(path)
}

/// A name beside `path` that nothing has.
fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let mut suffix = [0; 8];
    rand::fill(&mut suffix).map_err(|_| io::Error::other("no random numbers"))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex::encode(suffix)));
    Ok(PathBuf::from(draft))
}

fn write_draft(draft: &Path, keys: &[KeyBytes]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    for key in keys {
        file.write_all(key.as_slice())?;
    }
    file.sync_all()
}

/// Without this the new name may be lost with the power, after secrets were sealed under the key.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn read(path: &Path, mut file: File) -> Result<Vec<KeyBytes>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let count = (1..=MAX_KEYS).find(|count| metadata.len() == (count * KEY_BYTES) as u64);
    let Some(count) = count.filter(|_| metadata.is_file()) else {
        return Err(KeyFileError::Damaged { path: path.to_owned() });
    };
    let mut keys = vec![KeyBytes::default(); count];
    for key in &mut keys {
        file.read_exact(key.as_mut_slice()).map_err(failed)?;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::envelope::contract::{self, context};

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
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

    #[tokio::test]
    async fn a_rotated_key_wraps_and_the_old_one_unwraps_until_it_is_removed() {
        let directory = directory();
        let path = directory.path().join("key");
        let key = KeyFile::open_or_create(&path).expect("a key file");
        let old = key.generate_data_key(&context()).await.expect("a key");
        assert!(key.add_key().expect("added"));
        let new = key.generate_data_key(&context()).await.expect("a key");
        // As after a kill, too.
        let reopened = KeyFile::open_or_create(&path).expect("a key file");
        for key in [&key, &reopened] {
            for made in [&old, &new] {
                assert_eq!(
                    key.unwrap_data_key(&made.wrapped, &context()).await.as_ref(),
                    Ok(&made.plaintext)
                );
            }
            let newest = key.newest();
            let unwrapped = newest.unwrap_data_key(&old.wrapped, &context()).await;
            assert_eq!(unwrapped, Err(KeyServiceError::Refused));
            assert_eq!(newest.unwrap_data_key(&new.wrapped, &context()).await.as_ref(), Ok(&new.plaintext));
        }
        assert!(!reopened.add_key().expect("nothing to do"), "there is never a third key");
        reopened.remove_old_key().expect("removed");
        for key in [reopened, KeyFile::open_or_create(&path).expect("a key file")] {
            let unwrapped = key.unwrap_data_key(&old.wrapped, &context()).await;
            assert_eq!(unwrapped, Err(KeyServiceError::Refused));
            assert_eq!(key.unwrap_data_key(&new.wrapped, &context()).await.as_ref(), Ok(&new.plaintext));
        }
        let metadata = fs::metadata(&path).expect("a file");
        assert_eq!((metadata.mode() & 0o777, metadata.len(), metadata.nlink()), (0o600, 32, 1));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
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
        for length in [0, 31, 33, 63, 65, 96] {
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
    fn concurrent_creators_end_up_with_one_key() {
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
