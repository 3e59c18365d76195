//! Rotating the master key.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::clock::Timestamp;
use shared::domain::{Connection, Installation, InstallationId, SiteId, SystemToken};
use shared::envelope::{Context, Purpose, Sealed};

use super::*;

impl Bench {
    fn key_path(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// The process stops, and another one opens the same directory.
    fn restart(&mut self) {
        let file = Arc::new(KeyFile::open_or_create(&self.key_path()).unwrap());
        self.operator.linking.envelope = Arc::new(Envelope::new(file.clone()));
        self.operator.key = Some(Arc::new(MasterKey::new(file)));
    }

    async fn seal(&self, secret: &str, context: &Context) -> Sealed {
        self.operator.linking.envelope.seal(&SecretString::from(secret), context).await.unwrap()
    }

    /// Another connection of a site, with its secret.
    async fn connect(&self, site: SiteId, client_key: &str, secret: &str) -> Installation {
        let id = InstallationId::generate();
        let shared_secret = self.seal(secret, &Context::installation(site, id, Purpose::SharedSecret)).await;
        let client_key = client_key.to_owned();
        let connection = Connection::Connect { client_key, shared_secret, display_url: None };
        Installation { id, site, connection, installed_at: Timestamp(0) }
    }

    /// A site with a connection of each kind, and a linked group whose project has its own hook. Answers how many
    /// secrets that are.
    async fn fill(&self) -> u64 {
        self.add_site().await;
        let site = self.stored_site().await.id;
        let store = &self.operator.store;
        store.put_installation(&self.connect(site, "key", "shared").await).await.unwrap();
        let id = InstallationId::generate();
        let token = SystemToken {
            token: self.seal("system", &Context::installation(site, id, Purpose::SystemToken)).await,
            sent_at: Timestamp(0),
            usable_until: Timestamp(0),
            of_page: false,
            refused_sent_at: None,
        };
        let connection =
            Connection::Forge { installation_id: "forge".to_owned(), app_version: None, token: Some(token) };
        let forge = Installation { id, site, connection, installed_at: Timestamp(0) };
        store.put_installation(&forge).await.unwrap();
        self.done(Command::GroupLink(self.adas())).await;
        // Three connections, the link's hook with two secrets and its token, and the project's hook with two.
        8
    }

    /// Every stored secret, opened with the key file as it is now.
    async fn secrets(&self) -> Vec<String> {
        let envelope = Envelope::new(Arc::new(KeyFile::open_or_create(&self.key_path()).unwrap()));
        let mut sealed = Vec::new();
        for site in self.operator.store.site_ids().await.unwrap() {
            for installation in self.operator.store.installations(site).await.unwrap() {
                let (purpose, secret) = match installation.connection {
                    Connection::Connect { shared_secret, .. } => (Purpose::SharedSecret, shared_secret),
                    Connection::OauthCredentials { client_secret, .. } => {
                        (Purpose::ClientSecret, client_secret)
                    }
                    Connection::Forge { token, .. } => (Purpose::SystemToken, token.unwrap().token),
                };
                sealed.push((Context::installation(site, installation.id, purpose), secret));
            }
        }
        for link in self.stored_links().await {
            let mut hooks = self.operator.store.project_hooks(link.id).await.unwrap();
            hooks.push(link.hook);
            for hook in hooks {
                let context = Context::hook(link.site, link.id, hook.project_id);
                sealed.extend([(context.clone(), hook.token), (context, hook.signing_token)]);
            }
            let token = link.credential.unwrap().token;
            sealed.push((Context::gitlab_token(link.site, link.id), token));
        }
        let mut secrets = Vec::new();
        for (context, sealed) in sealed {
            secrets.push(envelope.open(&sealed, &context).await.unwrap().expose_secret().to_owned());
        }
        secrets
    }
}

async fn without_group_hooks() -> Bench {
    Bench::with(Version::V19_1, Tier::Free, "http://127.0.0.1").await
}

#[tokio::test]
async fn every_secret_is_sealed_again_under_a_new_key() {
    let mut bench = without_group_hooks().await;
    let count = bench.fill().await;
    let (secrets, old) = (bench.secrets().await, std::fs::read(bench.key_path()).unwrap());
    assert_eq!(secrets.len() as u64, count);
    bench.restart();
    let answer = bench.done(Command::KeyRotate).await;
    assert_eq!(answer, json!({ "secrets": count, "resumed": false }));
    let new = std::fs::read(bench.key_path()).unwrap();
    assert!(new.len() == 32 && new != old);
    assert_eq!(bench.secrets().await, secrets);
    // What is sealed from now on is, too, under the new key.
    let site = bench.stored_site().await.id;
    let later = bench.connect(site, "later", "later").await;
    bench.operator.store.put_installation(&later).await.unwrap();
    assert_eq!(bench.secrets().await.len() as u64, count + 1);
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_loses_nothing_and_is_finished_by_the_next() {
    let mut bench = without_group_hooks().await;
    let count = bench.fill().await;
    let secrets = bench.secrets().await;
    bench.restart();
    // Killed after the key was added, and one secret sealed under it.
    bench.operator.key.as_ref().unwrap().file.add_key().unwrap();
    bench.restart();
    let site = bench.stored_site().await.id;
    bench.operator.store.put_installation(&bench.connect(site, "new", "new").await).await.unwrap();
    let both = bench.secrets().await;
    assert!(secrets.iter().all(|secret| both.contains(secret)));
    bench.restart();
    let answer = bench.done(Command::KeyRotate).await;
    assert_eq!(answer, json!({ "secrets": count, "resumed": true }));
    assert_eq!(std::fs::read(bench.key_path()).unwrap().len(), 32);
    assert_eq!(bench.secrets().await, both);
}

#[tokio::test]
async fn a_secret_that_was_on_its_way_to_the_table_is_not_lost() {
    let mut bench = without_group_hooks().await;
    bench.add_site().await;
    bench.restart();
    let file = bench.operator.key.as_ref().unwrap().file.clone();
    let patience = Duration::from_secs(2);
    bench.operator.key = Some(Arc::new(MasterKey { on_its_way: patience, ..MasterKey::new(file) }));
    let late = bench.connect(bench.stored_site().await.id, "late", "late").await;
    let rotated = async { bench.done(Command::KeyRotate).await };
    let stored = async {
        tokio::time::sleep(patience / 4).await;
        bench.operator.store.put_installation(&late).await.unwrap();
    };
    let (answer, ()) = tokio::join!(rotated, stored);
    assert_eq!(answer["secrets"], 2);
    assert!(bench.secrets().await.contains(&"late".to_owned()));
}

#[tokio::test]
async fn both_keys_stay_while_a_secret_can_not_be_opened() {
    let mut bench = without_group_hooks().await;
    bench.add_site().await;
    let site = bench.stored_site().await.id;
    let mut broken = bench.connect(site, "broken", "broken").await;
    broken.id = InstallationId::generate();
    bench.operator.store.put_installation(&broken).await.unwrap();
    bench.restart();
    let sentence = Bench::refused(bench.run(Command::KeyRotate).await);
    assert!(sentence.contains(&format!("the shared-secret of the site {site}")), "{sentence}");
    assert_eq!(std::fs::read(bench.key_path()).unwrap().len(), 64);
    bench.operator.store.delete_installation(&broken).await.unwrap();
    bench.restart();
    bench.done(Command::KeyRotate).await;
    assert_eq!(bench.secrets().await.len(), 1);
}

#[tokio::test]
async fn the_key_of_a_stack_is_not_ours_to_rotate() {
    let mut bench = Bench::new().await;
    bench.operator.key = None;
    assert!(Bench::refused(bench.run(Command::KeyRotate).await).contains("KMS"));
}
