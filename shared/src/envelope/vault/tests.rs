use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::envelope::{DataKey, KeyBytes, KeyFile, Purpose};

/// A key file that counts its calls and can be switched off.
#[derive(Debug)]
struct Counted {
    inner: KeyFile,
    made: AtomicU32,
    unwrapped: AtomicU32,
    down: AtomicBool,
    disabled: AtomicBool,
}

impl Counted {
    fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = KeyFile::open_or_create(&directory.path().join("key")).expect("a key file");
        Arc::new(Self {
            inner,
            made: AtomicU32::new(0),
            unwrapped: AtomicU32::new(0),
            down: AtomicBool::new(false),
            disabled: AtomicBool::new(false),
        })
    }

    fn calls(&self) -> (u32, u32) {
        (self.made.load(Ordering::Relaxed), self.unwrapped.load(Ordering::Relaxed))
    }

    fn check_up(&self) -> Result<(), KeyServiceError> {
        if self.down.load(Ordering::Relaxed) {
            Err(KeyServiceError::Unavailable("down".to_owned()))
        } else if self.disabled.load(Ordering::Relaxed) {
            Err(KeyServiceError::Refused)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl KeyService for Counted {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<DataKey, KeyServiceError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.check_up()?;
        self.inner.generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<KeyBytes, KeyServiceError> {
        self.unwrapped.fetch_add(1, Ordering::Relaxed);
        self.check_up()?;
        self.inner.unwrap_data_key(wrapped, context).await
    }
}

fn context() -> Context {
    Context::new("site", Purpose::SharedSecret, "record")
}

fn other_contexts() -> [Context; 4] {
    [
        Context::new("other", Purpose::SharedSecret, "record"),
        Context::new("site", Purpose::HookSecret, "record"),
        Context::new("site", Purpose::SharedSecret, "other"),
        Context::new("siter", Purpose::SharedSecret, "ecord"),
    ]
}

fn secret() -> SecretString {
    SecretString::from("planted-secret-5f3a")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

#[tokio::test]
async fn a_secret_comes_back() {
    let service = Counted::new();
    let sealed = Envelope::new(service.clone()).seal(&secret(), &context()).await.expect("sealed");
    let stored = serde_json::to_string(&sealed).expect("JSON");
    let read = serde_json::from_str(&stored).expect("sealed");
    let opened = Envelope::new(service).open(&read, &context()).await.expect("opened");
    assert_eq!(opened.expose_secret(), secret().expose_secret());
}

#[tokio::test]
async fn another_context_is_refused_also_when_the_key_is_remembered() {
    let envelope = Envelope::new(Counted::new());
    let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
    for remembered in [false, true] {
        for other in other_contexts() {
            let opened = envelope.open(&sealed, &other).await;
            assert_eq!(opened.map(|_| ()), Err(EnvelopeError::Refused), "{other:?} {remembered}");
        }
        envelope.open(&sealed, &context()).await.expect("the right context");
    }
}

/// A key service that does not look at the context.
#[derive(Debug)]
struct Careless(Arc<Counted>);

#[async_trait]
impl KeyService for Careless {
    async fn generate_data_key(&self, _: &EncryptionContext) -> Result<DataKey, KeyServiceError> {
        self.0.generate_data_key(&context().encryption_context()).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        _: &EncryptionContext,
    ) -> Result<KeyBytes, KeyServiceError> {
        self.0.unwrap_data_key(wrapped, &context().encryption_context()).await
    }
}

#[tokio::test]
async fn another_context_is_refused_even_if_the_key_service_does_not_mind() {
    let envelope = Envelope::new(Arc::new(Careless(Counted::new())));
    let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
    for other in other_contexts() {
        let opened = envelope.open(&sealed, &other).await;
        assert_eq!(opened.map(|_| ()), Err(EnvelopeError::Refused), "{other:?}");
    }
    envelope.open(&sealed, &context()).await.expect("the right context");
}

#[tokio::test]
async fn a_key_moved_to_another_secret_is_refused() {
    let envelope = Envelope::new(Counted::new());
    let one = envelope.seal(&secret(), &context()).await.expect("sealed");
    let other = envelope.seal(&secret(), &other_contexts()[0]).await.expect("sealed");
    for envelope in [&envelope, &Envelope::new(Counted::new())] {
        let mixed = Sealed { wrapped: one.wrapped.clone(), ..other.clone() };
        assert_eq!(envelope.open(&mixed, &context()).await.map(|_| ()), Err(EnvelopeError::Refused));
    }
}

#[tokio::test]
async fn opening_asks_the_key_service_once() {
    let service = Counted::new();
    let envelope = Envelope::new(service.clone());
    let context = context();
    let sealed = envelope.seal(&secret(), &context).await.expect("sealed");
    let opens = (0..20).map(|_| envelope.open(&sealed, &context));
    assert!(futures::future::join_all(opens).await.iter().all(Result::is_ok));
    assert_eq!(service.calls(), (1, 1));
}

#[tokio::test]
async fn a_key_seals_a_limited_number_of_secrets() {
    let service = Counted::new();
    let envelope = Envelope::new(service.clone());
    for _ in 0..=MAX_KEY_USES {
        envelope.seal(&secret(), &context()).await.expect("sealed");
    }
    assert_eq!(service.calls(), (2, 0));
    for other in &other_contexts()[..2] {
        envelope.seal(&secret(), other).await.expect("sealed");
    }
    assert_eq!(service.calls(), (4, 0), "keys are not shared between sites and purposes");
}

/// As `webhook` opens the hooks of a group's projects, which were made one after another.
#[tokio::test]
async fn the_secrets_of_a_site_and_purpose_are_opened_with_one_key() {
    let service = Counted::new();
    let (sealing, opening) = (Envelope::new(service.clone()), Envelope::new(service.clone()));
    for project in 0..500 {
        let context = Context::hook("site", "link", Some(project));
        for _ in ["token", "signing token"] {
            let sealed = sealing.seal(&secret(), &context).await.expect("sealed");
            opening.open(&sealed, &context).await.expect("opened");
        }
    }
    assert_eq!(service.calls(), (1, 1));
}

/// A key file of the bytes 0 to 31, and what it and the first version made of a secret.
const OLD_SEALED: &str = r#"{"v":1,"key":"AQABAgMEBQYHCAkKCyNnsHytjKhw4Sz55MGYCh73o/FDiAIlB0Qam/qd6IIxVfVkLATrv+FVCbZD7jn9Gw==","nonce":"MjM0NTY3ODk6Ozw9","data":"iP9fKJgRmIyoyMWvNBrZ48AkOs/nThceRhssyucSCvQ+k/g="}"#;

#[tokio::test]
async fn secrets_of_the_first_version_open_in_their_context_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, (0..32).collect::<Vec<u8>>()).expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    let envelope = Envelope::new(Arc::new(KeyFile::open_or_create(&path).expect("a key file")));
    let old: Sealed = serde_json::from_str(OLD_SEALED).expect("sealed");
    for _remembered in [false, true] {
        for other in other_contexts() {
            assert_eq!(envelope.open(&old, &other).await.map(drop), Err(EnvelopeError::Refused), "{other:?}");
        }
        let opened = envelope.open(&old, &context()).await.expect("opened");
        assert_eq!(opened.expose_secret(), secret().expose_secret());
    }
    let claimed = Sealed { version: Version::SharedKey, ..old };
    assert_eq!(envelope.open(&claimed, &context()).await.map(drop), Err(EnvelopeError::Refused));
    let new = envelope.seal(&secret(), &context()).await.expect("sealed");
    let claimed = Sealed { version: Version::OwnKey, ..new };
    assert_eq!(envelope.open(&claimed, &context()).await.map(drop), Err(EnvelopeError::Refused));
}

#[tokio::test]
async fn remembered_keys_are_bounded_in_number() {
    let service = Counted::new();
    let envelope = Envelope::new(service);
    for record in 0..MAX_KEYS + 200 {
        let context = Context::new(record.to_string(), Purpose::HookSecret, "record");
        let sealed = envelope.seal(&secret(), &context).await.expect("sealed");
        envelope.open(&sealed, &context).await.expect("opened");
    }
    envelope.sealing.run_pending_tasks().await;
    envelope.opening.run_pending_tasks().await;
    assert!(envelope.sealing.entry_count() <= MAX_KEYS && envelope.opening.entry_count() <= MAX_KEYS);
    assert_eq!(envelope.opening.policy().time_to_live(), Some(MAX_KEY_AGE));
    assert_eq!(envelope.sealing.policy().time_to_live(), Some(MAX_KEY_AGE));
}

/// `remembered_keys_are_bounded_in_number` has the age that is shipped.
#[tokio::test]
async fn a_disabled_key_is_used_no_longer_than_keys_are_remembered() {
    let service = Counted::new();
    let age = Duration::from_millis(200);
    let envelope = Envelope::remembering(service.clone(), age);
    let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
    envelope.open(&sealed, &context()).await.expect("opened");
    service.disabled.store(true, Ordering::Relaxed);
    // Use does not prolong it.
    let until = Instant::now() + age;
    while Instant::now() < until {
        let _ = envelope.open(&sealed, &context()).await;
        let _ = envelope.seal(&secret(), &context()).await;
    }
    assert_eq!(envelope.open(&sealed, &context()).await.map(|_| ()), Err(EnvelopeError::Refused));
    assert_eq!(envelope.seal(&secret(), &context()).await.map(|_| ()), Err(EnvelopeError::Refused));
}

#[tokio::test]
async fn a_disabled_key_opens_nothing_new() {
    let service = Counted::new();
    let envelope = Envelope::new(service.clone());
    let known = envelope.seal(&secret(), &context()).await.expect("sealed");
    let other = envelope.seal(&secret(), &other_contexts()[0]).await.expect("sealed");
    envelope.open(&known, &context()).await.expect("opened");
    service.disabled.store(true, Ordering::Relaxed);
    envelope.open(&known, &context()).await.expect("remembered");
    for (sealed, context) in [(&other, &other_contexts()[0]), (&known, &other_contexts()[0])] {
        assert_eq!(envelope.open(sealed, context).await.map(|_| ()), Err(EnvelopeError::Refused));
    }
}

#[tokio::test]
async fn an_outage_is_told_apart_and_not_remembered() {
    let service = Counted::new();
    let envelope = Envelope::new(service.clone());
    let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
    service.down.store(true, Ordering::Relaxed);
    let down = Err(EnvelopeError::Unavailable("down".to_owned()));
    assert_eq!(envelope.open(&sealed, &context()).await.map(|_| ()), down);
    assert_eq!(envelope.seal(&secret(), &other_contexts()[0]).await.map(|_| ()), down);
    envelope.seal(&secret(), &context()).await.expect("this key is remembered");
    service.down.store(false, Ordering::Relaxed);
    envelope.open(&sealed, &context()).await.expect("up again");
}

#[tokio::test]
async fn too_long_a_secret_is_not_sealed() {
    let envelope = Envelope::new(Counted::new());
    let longest = SecretString::from("x".repeat(MAX_SECRET_BYTES));
    let sealed = envelope.seal(&longest, &context()).await.expect("sealed");
    let stored = serde_json::to_value(&sealed).expect("JSON");
    serde_json::from_value::<Sealed>(stored).expect("what is sealed can be read back");
    let longer = SecretString::from("x".repeat(MAX_SECRET_BYTES + 1));
    assert_eq!(envelope.seal(&longer, &context()).await, Err(EnvelopeError::TooLong));
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let envelope = Envelope::new(Counted::new());
    let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
    let opened = envelope.open(&sealed, &context()).await.expect("opened");
    let printed = format!("{envelope:?} {sealed:?} {opened:?}");
    assert!(!printed.contains("planted") && printed.contains("Sealed([redacted])"), "{printed}");
    assert!(!serde_json::to_string(&sealed).expect("JSON").contains("planted"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_secret_comes_back(text in ".*", site in ".{0,9}", record in ".{0,9}") {
        let context = Context::new(site, Purpose::GitlabToken, record);
        block_on(async {
            let envelope = Envelope::new(Counted::new());
            let sealed = envelope.seal(&SecretString::from(text.as_str()), &context).await.expect("sealed");
            let opened = envelope.open(&sealed, &context).await.expect("opened");
            prop_assert_eq!(opened.expose_secret(), &text);
            Ok(())
        })?;
    }

    /// Sealed under keys that are remembered and shared, where they are of one site and purpose.
    #[test]
    fn a_secret_opens_in_its_own_context_only(
        contexts in prop::collection::vec((0..3_u8, 0..Purpose::ALL.len(), 0..3_u8), 2..6),
    ) {
        let contexts: Vec<Context> = contexts
            .into_iter()
            .map(|(site, purpose, record)| Context::new(site.to_string(), Purpose::ALL[purpose], record.to_string()))
            .collect();
        block_on(async {
            let service = Counted::new();
            let (sealing, opening) = (Envelope::new(service.clone()), Envelope::new(service.clone()));
            for sealed_for in &contexts {
                let sealed = sealing.seal(&secret(), sealed_for).await.expect("sealed");
                for opened_for in &contexts {
                    let opened = opening.open(&sealed, opened_for).await.map(drop);
                    let expected = if opened_for == sealed_for { Ok(()) } else { Err(EnvelopeError::Refused) };
                    prop_assert_eq!(opened, expected);
                }
            }
            let keys: std::collections::HashSet<_> = contexts.iter().map(Context::encryption_context).collect();
            prop_assert_eq!(service.calls().0 as usize, keys.len());
            Ok(())
        })?;
    }

    #[test]
    fn any_altered_byte_is_refused(part in 0..3_usize, index: prop::sample::Index, bits in 1..=255_u8, warm: bool) {
        block_on(async {
            let envelope = Envelope::new(Counted::new());
            let mut sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
            if warm {
                envelope.open(&sealed, &context()).await.expect("opened");
            }
            let bytes = match part {
                0 => sealed.wrapped.as_mut_slice(),
                1 => sealed.encrypted.nonce.as_mut_slice(),
                _ => sealed.encrypted.ciphertext.as_mut_slice(),
            };
            bytes[index.index(bytes.len())] ^= bits;
            let opened = envelope.open(&sealed, &context()).await;
            prop_assert_eq!(opened.map(|_| ()), Err(EnvelopeError::Refused));
            Ok(())
        })?;
    }
}
