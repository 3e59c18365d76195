//! Signing in to GitLab. The bundle does it, not the page: the browser never holds a token, and the same flow serves every
//! host of the page.
//!
//! A person who authorized may have followed somebody else's link, so a token works only once the page has brought the
//! code that GitLab's person was shown: whoever sends their link to a stranger gets nothing. The code reaches the page from
//! the window that it opened, or by hand.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use url::Url;

use super::session::{SignedIn, signed_in};
use super::{Administrator, Cause, Host, PageApi, PageError, words};
use crate::domain::{SignIn, SignInId, SignInStage, TokenSource};
use crate::envelope::Context;
use crate::gitlab::client::GitlabClient;
use crate::gitlab::oauth::{OauthApplication, OauthError, Verifier};
use crate::gitlab::signature::generate_token;
use crate::linking::GitlabPurpose;
use crate::store::Stored;
use crate::store::sign_ins::{SIGN_IN_TIME, TOKEN_TIME};

/// The characters of a code: letters and digits that can't be mistaken for one another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 30 bits: of [`MAX_WRONG_CODES`] guesses one in 200 million hits.
const CODE_LENGTH: usize = 6;

/// So many wrong codes end a sign-in.
const MAX_WRONG_CODES: u32 = 5;

/// An authorization code of GitLab's is 64 characters; more is somebody else's.
const MAX_CODE: usize = 512;

/// A sign-in that was begun.
#[derive(Debug, Serialize)]
pub(super) struct Begun {
    sign_in: SignInId,
    authorize_url: Url,
    /// Whether the page gets the code from the window, without the person.
    returns_by_itself: bool,
    seconds: u64,
}

/// What a browser brings back from GitLab.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// `state`.
    pub state: String,
    /// `code`.
    pub code: Option<String>,
    /// `error`: the person refused, or GitLab did.
    pub error: Option<String>,
}

/// What the page shows that a browser returns to.
#[derive(Debug)]
pub enum Callback {
    /// The person authorized.
    Authorized {
        /// The sign-in.
        sign_in: SignInId,
        /// GitLab's user name.
        username: String,
        /// Base URL of the instance.
        instance: String,
        /// The host of the Jira site for which it was.
        site: String,
        /// What the page has to bring.
        code: String,
        /// The origin that may be told the code, if the window that opened this one is of our page.
        opener: Option<String>,
    },
    /// It failed, for the reason in this sentence.
    Failed(String),
}

impl PageApi {
    pub(super) async fn begin_sign_in(&self, who: &Administrator, gitlab: &str) -> Result<Begun, PageError> {
        let base = self.instance(gitlab)?;
        let instance = super::without_slash(&base);
        let Some(application_id) = self.application_of(who, &instance) else {
            return Err(PageError::new(
                Cause::ApplicationMissing,
                format!(
                    "{instance} needs an OAuth application for this: add one and paste its application id, or use an access token."
                ),
            ));
        };
        let (id, random) = (SignInId::generate(), random()?);
        let state = format!("{id}.{}", random.expose_secret());
        let verifier = Verifier::generate().map_err(PageError::no_randomness)?;
        let context = Context::sign_in(who.site.id, id);
        let sealed = self.linking.envelope.seal(&verifier.0, &context).await?;
        let application = self.application(base, application_id.clone());
        let opener = self.opener(who);
        let sign_in = SignIn {
            id,
            site: who.site.id,
            account: who.account.clone(),
            instance,
            opener: opener.clone(),
            stage: SignInStage::Begun {
                application_id,
                state: hash(&[random.expose_secret()]),
                verifier: sealed,
            },
        };
        self.store().begin_sign_in(&sign_in, SIGN_IN_TIME).await?;
        Ok(Begun {
            sign_in: id,
            authorize_url: application.authorize_url(&state, &verifier),
            returns_by_itself: opener.is_some(),
            seconds: SIGN_IN_TIME.as_secs(),
        })
    }

    /// The origin whose page opens the window of GitLab's, and gets the code from it.
    fn opener(&self, who: &Administrator) -> Option<String> {
        match &who.host {
            Host::Connect => {
                Url::parse(&self.redirect_uri).ok().map(|url| url.origin().ascii_serialization())
            }
            Host::Forge => None,
            Host::Local(origin) => Some(origin.clone()),
        }
    }

    pub(super) fn application(&self, base: Url, id: String) -> OauthApplication {
        OauthApplication {
            http: self.linking.gitlab.clone(),
            base,
            id,
            redirect_uri: self.redirect_uri.clone(),
        }
    }

    /// Takes the code that a browser brings back from GitLab, and seals the token that it is good for.
    ///
    /// # Errors
    /// Our own state can't be read or written. Everything else is [`Callback::Failed`].
    pub async fn callback(&self, returned: Returned) -> Result<Callback, PageError> {
        let failed = |sentence: &str| Ok(Callback::Failed(sentence.to_owned()));
        let again = "This sign-in is not known any more: go back to the page in Jira and sign in again.";
        let Some((id, secret)) = returned.state.split_once('.') else { return failed(again) };
        let Ok(id) = id.parse::<SignInId>() else { return failed(again) };
        let Some(stored) = self.store().sign_in(id).await? else { return failed(again) };
        let SignInStage::Begun { application_id, state, verifier } = &stored.value.stage else {
            return failed(again);
        };
        if !same(state, &hash(&[secret])) {
            return failed(again);
        }
        let code = returned.code.as_deref().filter(|code| !code.is_empty() && code.len() <= MAX_CODE);
        let Some(code) = code else {
            self.store().end_sign_in(id).await?;
            return failed(match returned.error.as_deref() {
                Some("access_denied") => {
                    "GitLab says that you did not authorize the app: nothing was changed. Close this window."
                }
                _ => "GitLab returned no code: go back to the page in Jira and sign in again.",
            });
        };
        let verifier =
            Verifier(self.linking.envelope.open(verifier, &Context::sign_in(stored.value.site, id)).await?);
        let application_id = application_id.clone();
        self.authorized(stored, application_id, code, &verifier).await
    }

    async fn authorized(
        &self,
        stored: Stored<SignIn>,
        application_id: String,
        code: &str,
        verifier: &Verifier,
    ) -> Result<Callback, PageError> {
        let sign_in = &stored.value;
        let base = self.instance(&sign_in.instance)?;
        let application = self.application(base.clone(), application_id.clone());
        let token = match application.exchange(code, verifier).await {
            Ok(token) => token,
            Err(error) => return Ok(Callback::Failed(words::of_oauth(&error, &sign_in.instance).sentence)),
        };
        let gitlab = GitlabClient::new(self.linking.gitlab.clone(), base, token.clone());
        let username = match gitlab.user().await {
            Ok(user) => user.username,
            Err(error) => {
                return Ok(Callback::Failed(
                    words::of_gitlab(&error, &sign_in.instance, GitlabPurpose::ReadUser).sentence,
                ));
            }
        };
        let site = self.store().site(sign_in.site).await?.map(|site| site.host().to_owned());
        let code = confirmation_code().map_err(PageError::no_randomness)?;
        let sealed = self.linking.envelope.seal(&token, &Context::sign_in(sign_in.site, sign_in.id)).await?;
        let next = SignIn {
            stage: SignInStage::Authorized {
                username: username.clone(),
                token: sealed,
                application_id,
                code: hash(&[&sign_in.id.to_string(), &code]),
                wrong_codes: 0,
            },
            ..sign_in.clone()
        };
        self.store().advance_sign_in(&stored, &next, SIGN_IN_TIME).await?;
        tracing::info!(sign_in.id = %next.id, site.id = %next.site, "somebody authorized at GitLab");
        Ok(Callback::Authorized {
            sign_in: next.id,
            username,
            instance: next.instance,
            site: site.unwrap_or_default(),
            code: format!("{}-{}", &code[..CODE_LENGTH / 2], &code[CODE_LENGTH / 2..]),
            opener: next.opener,
        })
    }

    pub(super) async fn confirm_sign_in(
        &self,
        who: &Administrator,
        id: SignInId,
        code: &str,
    ) -> Result<SignedIn, PageError> {
        let stored = self.own_sign_in(who, id).await?;
        let SignInStage::Authorized { username, token, application_id, code: wanted, wrong_codes } =
            &stored.value.stage
        else {
            return match &stored.value.stage {
                SignInStage::Begun { .. } => Err(PageError::new(
                    Cause::WrongCode,
                    "Nobody has authorized at GitLab yet: finish there first, then enter the code that is shown.",
                )),
                _ => signed_in(&stored.value),
            };
        };
        let given: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        if same(wanted, &hash(&[&id.to_string(), &given.to_ascii_uppercase()])) {
            let source = TokenSource::Oauth { application_id: application_id.clone() };
            let (username, token) = (username.clone(), token.clone());
            let stage = SignInStage::Confirmed { username, token, source };
            let next = SignIn { stage, ..stored.value.clone() };
            self.store().advance_sign_in(&stored, &next, TOKEN_TIME).await?;
            return signed_in(&next);
        }
        let wrong_codes = wrong_codes + 1;
        if wrong_codes >= MAX_WRONG_CODES {
            self.end(&stored.value).await?;
            return Err(PageError::new(
                Cause::SignInEnded,
                "The code was wrong too often, so signing in has ended: sign in again.",
            ));
        }
        let mut next = stored.value.clone();
        if let SignInStage::Authorized { wrong_codes: count, .. } = &mut next.stage {
            *count = wrong_codes;
        }
        self.store().advance_sign_in(&stored, &next, SIGN_IN_TIME).await?;
        Err(PageError::new(
            Cause::WrongCode,
            "This is not the code that was shown after signing in: check it, and enter it again.",
        ))
    }

    /// Whether an OAuth application of this id works at the instance.
    pub(super) async fn check_application(&self, base: Url, id: &str) -> Result<(), OauthError> {
        tokio::time::timeout(CHECK_TIME, self.application(base, id.to_owned()).check())
            .await
            .unwrap_or(Err(OauthError::Gitlab(crate::gitlab::client::GitlabError::Unavailable(None))))
    }
}

/// A person is waiting for it.
const CHECK_TIME: Duration = Duration::from_secs(10);

fn random() -> Result<SecretString, PageError> {
    generate_token().map_err(PageError::no_randomness)
}

fn confirmation_code() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; CODE_LENGTH];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

/// SHA-256 over parts that contain no line break.
fn hash(parts: &[&str]) -> String {
    hex::encode(digest(&SHA256, parts.join("\n").as_bytes()))
}

fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl PageError {
    fn no_randomness(error: aws_lc_rs::error::Unspecified) -> Self {
        Self::new(Cause::Unavailable, "The operating system gives no random numbers: try again.")
            .because(error)
    }
}
