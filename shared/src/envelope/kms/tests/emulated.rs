//! KMS as the emulators have it, each with a fault of its own that decides which checks run where. That the fault is
//! still there is checked, too: once an emulator is better, the exception has to go.

use aws_sdk_kms::Client;
use emulators::{Emulator, Running};
use secrecy::{ExposeSecret, SecretString};

use super::super::Kms;
use super::{Arc, Log};
use crate::envelope::contract;
use crate::envelope::{Context, Envelope, EnvelopeError, KeyService, KeyServiceError, Purpose, Sealed};

/// Whether it notices altered ciphertexts and another key's id. Ministack encrypts without authentication.
const fn authenticates(emulator: Emulator) -> bool {
    matches!(emulator, Emulator::Moto)
}

/// Whether it refuses to work with disabled keys and keys pending deletion. Moto goes on with them.
const fn respects_key_states(emulator: Emulator) -> bool {
    matches!(emulator, Emulator::Ministack)
}

/// A fresh key of an emulator.
struct Lab {
    client: Client,
    key_id: String,
    kms: Kms,
    emulator: Running,
}

impl Lab {
    async fn new(emulator: Emulator) -> Self {
        let emulator = emulator.start().await;
        let client = Client::new(&emulator.sdk().await);
        let key_id = new_key(&client).await;
        Self { kms: Kms::new(client.clone(), &key_id), client, key_id, emulator }
    }

    fn envelope(&self) -> Envelope {
        Envelope::new(Arc::new(self.kms.clone()))
    }

    async fn disable(&self) {
        self.client.disable_key().key_id(&self.key_id).send().await.expect("disabled");
    }
}

async fn new_key(client: &Client) -> String {
    client.create_key().send().await.expect("a key").key_metadata.expect("its description").key_id
}

fn secret() -> SecretString {
    SecretString::from("planted-secret-77d0")
}

fn context() -> Context {
    Context::new("site", Purpose::SharedSecret, "record")
}

fn other_contexts() -> [Context; 3] {
    [
        Context::new("other", Purpose::SharedSecret, "record"),
        Context::new("site", Purpose::HookSecret, "record"),
        Context::new("site", Purpose::SharedSecret, "other"),
    ]
}

/// Nobody got to see the secret.
async fn assert_refused(envelope: &Envelope, sealed: &Sealed, context: &Context, what: &str) {
    let opened = envelope.open(sealed, context).await;
    assert_eq!(opened.map(|text| text.expose_secret().to_owned()), Err(EnvelopeError::Refused), "{what}");
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn kms_keeps_the_contract() {
    for emulator in Emulator::ALL {
        let lab = Lab::new(emulator).await;
        if authenticates(emulator) {
            contract::holds_for(&lab.kms).await;
            continue;
        }
        contract::holds_except_for_altered_bytes(&lab.kms).await;
        let mut made = lab.kms.generate_data_key(&contract::context()).await.expect("a key");
        *made.wrapped.last_mut().expect("bytes") ^= 1;
        let opened = lab.kms.unwrap_data_key(&made.wrapped, &contract::context()).await;
        assert!(
            opened.is_ok_and(|key| key != made.plaintext),
            "{emulator:?} authenticates: drop the exception"
        );
    }
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn what_another_key_wrapped_is_refused() {
    for emulator in Emulator::ALL {
        let lab = Lab::new(emulator).await;
        let strangers = Kms::new(lab.client.clone(), &new_key(&lab.client).await);
        let made = strangers.generate_data_key(&contract::context()).await.expect("a key");
        let opened = lab.kms.unwrap_data_key(&made.wrapped, &contract::context()).await;
        if authenticates(emulator) {
            assert_eq!(opened, Err(KeyServiceError::Refused));
        } else {
            assert!(
                opened.is_ok_and(|key| key != made.plaintext),
                "{emulator:?} tells keys apart: drop this"
            );
        }
        let sealed = Envelope::new(Arc::new(strangers)).seal(&secret(), &context()).await.expect("sealed");
        assert_refused(&lab.envelope(), &sealed, &context(), "another key").await;
    }
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn a_secret_opens_only_as_and_where_it_was_sealed() {
    for emulator in Emulator::ALL {
        let lab = Lab::new(emulator).await;
        for remembered in [false, true] {
            let envelope = lab.envelope();
            let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
            let [foreign, _, neighbour] = other_contexts();
            let foreigners = envelope.seal(&secret(), &foreign).await.expect("sealed");
            let neighbours = envelope.seal(&secret(), &neighbour).await.expect("sealed");
            if remembered {
                envelope.open(&sealed, &context()).await.expect("opened");
                envelope.open(&foreigners, &foreign).await.expect("opened");
            }
            for other in other_contexts() {
                assert_refused(&envelope, &sealed, &other, "another context").await;
            }
            for others in [&foreigners, &neighbours] {
                assert_refused(&envelope, others, &context(), "another site's or record's secret").await;
            }
            for tampered in tampered(&sealed, &foreigners) {
                assert_refused(&envelope, &tampered, &context(), "tampered").await;
            }
            let opened = envelope.open(&sealed, &context()).await.expect("opened");
            assert_eq!(opened.expose_secret(), secret().expose_secret());
        }
    }
}

/// Altered in each part, with its key cut or made longer, and with a key or a text that is another secret's. Of the
/// wrapped key, only what ministack decrypts is altered: the key itself, at the end.
fn tampered(sealed: &Sealed, others: &Sealed) -> Vec<Sealed> {
    let altered = |alter: &dyn Fn(&mut Sealed)| {
        let mut sealed = sealed.clone();
        alter(&mut sealed);
        sealed
    };
    let length = sealed.wrapped.len();
    let mut all: Vec<Sealed> =
        (length - 32..length).map(|index| altered(&|sealed| sealed.wrapped[index] ^= 0x80)).collect();
    all.extend(
        (0..sealed.encrypted.ciphertext.len())
            .map(|index| altered(&|sealed| sealed.encrypted.ciphertext[index] ^= 1)),
    );
    all.push(altered(&|sealed| sealed.encrypted.nonce[0] ^= 1));
    all.push(altered(&|sealed| sealed.wrapped.truncate(length - 1)));
    all.push(altered(&|sealed| sealed.wrapped.push(0)));
    all.push(altered(&|sealed| sealed.wrapped.clone_from(&others.wrapped)));
    all.push(altered(&|sealed| sealed.encrypted.clone_from(&others.encrypted)));
    all
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn a_disabled_key_is_refused_and_the_log_says_why() {
    for emulator in Emulator::ALL {
        let lab = Lab::new(emulator).await;
        let envelope = lab.envelope();
        let sealed = envelope.seal(&secret(), &context()).await.expect("sealed");
        lab.disable().await;
        if !respects_key_states(emulator) {
            let opened = lab.envelope().open(&sealed, &context()).await;
            assert!(opened.is_ok(), "{emulator:?} respects disabled keys: drop the exception");
            continue;
        }
        let log = Log::default();
        let recorded = log.record();
        for envelope in [&envelope, &lab.envelope()] {
            assert_refused(envelope, &sealed, &context(), "a disabled key").await;
            let made = envelope.seal(&secret(), &other_contexts()[0]).await;
            assert_eq!(made.map(drop), Err(EnvelopeError::Refused));
        }
        drop(recorded);
        assert_eq!(log.lines("ERROR").len(), 4);
        assert!(
            log.lines("ERROR").iter().all(|line| line.contains("DisabledException")),
            "{:?}",
            log.lines("ERROR")
        );
        let deletion = lab.client.schedule_key_deletion().key_id(&lab.key_id).pending_window_in_days(7);
        deletion.send().await.expect("scheduled");
        assert_refused(&envelope, &sealed, &context(), "a key that is to be deleted").await;
    }
}

/// What a remembered data key opens it goes on opening while its master key is disabled, for [`MAX_KEY_AGE`] at most;
/// `vault`'s tests have the end of that time.
///
/// [`MAX_KEY_AGE`]: crate::envelope::vault::MAX_KEY_AGE
#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn a_disabled_key_opens_only_what_is_remembered() {
    let lab = Lab::new(Emulator::Ministack).await;
    assert!(respects_key_states(lab.emulator.emulator));
    let envelope = lab.envelope();
    let known = envelope.seal(&secret(), &context()).await.expect("sealed");
    let other = envelope.seal(&secret(), &other_contexts()[0]).await.expect("sealed");
    envelope.open(&known, &context()).await.expect("opened");
    lab.disable().await;
    envelope.open(&known, &context()).await.expect("its data key is remembered");
    assert_refused(&envelope, &other, &other_contexts()[0], "a data key that is not remembered").await;
    assert_refused(&envelope, &known, &other_contexts()[0], "remembered, in another context").await;
    assert_refused(&lab.envelope(), &known, &context(), "a process that remembers nothing").await;
}
