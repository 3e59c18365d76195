//! What every [`KeyService`] must do, written once: each implementation's tests call [`holds_for`].

use super::context::{Context, EncryptionContext, Purpose};
use super::key_service::{KeyService, KeyServiceError};

/// Runs the whole contract.
pub(crate) async fn holds_for(service: &dyn KeyService) {
    holds_except_for_altered_bytes(service).await;
    altered_bytes_are_refused(service).await;
}

/// Runs what is left of the contract for an emulator that does not authenticate what it wraps.
pub(crate) async fn holds_except_for_altered_bytes(service: &dyn KeyService) {
    a_key_comes_back_in_its_context(service).await;
    keys_are_never_repeated(service).await;
    another_context_is_refused(service).await;
    nothing_secret_is_printed(service).await;
}

/// The context that keys of the contract are made for.
pub(crate) fn context() -> EncryptionContext {
    Context::new("site", Purpose::SharedSecret, "record").encryption_context()
}

async fn a_key_comes_back_in_its_context(service: &dyn KeyService) {
    let made = service.generate_data_key(&context()).await.expect("a key");
    for _ in 0..2 {
        assert_eq!(service.unwrap_data_key(&made.wrapped, &context()).await.as_ref(), Ok(&made.plaintext));
    }
}

async fn keys_are_never_repeated(service: &dyn KeyService) {
    let one = service.generate_data_key(&context()).await.expect("a key");
    let other = service.generate_data_key(&context()).await.expect("a key");
    assert_ne!(one.plaintext, other.plaintext);
    assert_ne!(one.wrapped, other.wrapped);
    assert_ne!(*one.plaintext, [0; 32]);
    assert!(!one.wrapped.windows(32).any(|window| window == one.plaintext.as_slice()));
}

async fn another_context_is_refused(service: &dyn KeyService) {
    let made = service.generate_data_key(&context()).await.expect("a key");
    for other in [
        Context::new("other", Purpose::SharedSecret, "record").encryption_context(),
        Context::new("site", Purpose::HookSecret, "record").encryption_context(),
        Context::new("site", Purpose::SharedSecret, "record").encryption_context_of_record(),
        Context::new("site", Purpose::SharedSecret, "").encryption_context_of_record(),
    ] {
        assert_eq!(service.unwrap_data_key(&made.wrapped, &other).await, Err(KeyServiceError::Refused));
    }
}

async fn altered_bytes_are_refused(service: &dyn KeyService) {
    let made = service.generate_data_key(&context()).await.expect("a key");
    for index in 0..made.wrapped.len() {
        let mut altered = made.wrapped.clone();
        altered[index] ^= 1;
        assert_eq!(
            service.unwrap_data_key(&altered, &context()).await,
            Err(KeyServiceError::Refused),
            "{index}"
        );
    }
    for length in [0, 1, made.wrapped.len() - 1] {
        let cut = &made.wrapped[..length];
        assert_eq!(service.unwrap_data_key(cut, &context()).await, Err(KeyServiceError::Refused), "{length}");
    }
    let longer = [made.wrapped.as_slice(), &[0]].concat();
    assert_eq!(service.unwrap_data_key(&longer, &context()).await, Err(KeyServiceError::Refused));
}

async fn nothing_secret_is_printed(service: &dyn KeyService) {
    let made = service.generate_data_key(&context()).await.expect("a key");
    assert_eq!(format!("{made:?}"), "DataKey([redacted])");
}
