//! Signing in with GitLab's OAuth 2.0: the authorization code flow with PKCE of a public client
//! (<https://docs.gitlab.com/api/oauth2/>, RFC 7636). Who signs in for what belongs to `page`.
//!
//! Written out rather than taken from a crate: the flow is three requests, and the crates for it bring a second library of
//! cryptography and random numbers.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::client::{GitlabError, GitlabHttp};
use crate::outbound::read_body;

/// Making hooks takes all of it (<https://docs.gitlab.com/integration/oauth_provider/#view-all-authorized-applications>).
const SCOPE: &str = "api";

/// An answer of the token endpoint is a few hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// An OAuth application of a GitLab instance, registered as a public client.
#[derive(Clone, Debug)]
pub struct OauthApplication {
    /// How GitLab is called.
    pub http: GitlabHttp,
    /// Base URL of the instance, which the host guard has checked.
    pub base: Url,
    /// The application's id.
    pub id: String,
    /// Where GitLab sends the person back to.
    pub redirect_uri: String,
}

/// PKCE's secret: whoever has it may exchange the code.
#[derive(Clone, Debug)]
pub struct Verifier(pub SecretString);

/// GitLab did not exchange a code.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// The instance has no public application with this id.
    #[error("GitLab does not know the application as a public one")]
    UnknownApplication,
    /// The code is used up, expired, or of another application, redirect URI or verifier.
    #[error("GitLab refuses the code")]
    CodeRefused,
    /// Anything else.
    #[error(transparent)]
    Gitlab(#[from] GitlabError),
}

impl Verifier {
    /// A new one of 256 bits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(SecretString::from(URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The code challenge that the authorization request carries (RFC 7636, 4.2).
    #[must_use]
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.expose_secret().as_bytes()))
    }
}

impl OauthApplication {
    /// Where the person authorizes.
    #[must_use]
    pub fn authorize_url(&self, state: &str, verifier: &Verifier) -> Url {
        let mut url = self.endpoint("authorize");
        url.query_pairs_mut()
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("scope", SCOPE)
            .append_pair("state", state)
            .append_pair("code_challenge", &verifier.challenge())
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// A token for the code that the person came back with.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn exchange(&self, code: &str, verifier: &Verifier) -> Result<SecretString, OauthError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            access_token: SecretString,
        }
        let body = json!({
            "grant_type": "authorization_code", "client_id": self.id, "redirect_uri": self.redirect_uri,
            "code": code, "code_verifier": verifier.0.expose_secret(),
        });
        let text = self.post("token", &body).await?;
        let answer: Answer =
            serde_json::from_slice(&text).map_err(|error| GitlabError::Unexpected(Some(error)))?;
        Ok(answer.access_token)
    }

    /// Whether the instance knows the application: asks for a token with a code that is none, which only a known
    /// application may do.
    ///
    /// Whether the application has our redirect URI can't be asked from outside. The token endpoint compares it with
    /// that of the code, of which there is none before somebody signed in; the authorize endpoint leads whoever is not
    /// signed in to the sign-in page before it looks at the request; and `prompt=none`, which answers at once, takes
    /// the scope `openid`, which the application need not have. The page shows the redirect URI where the application
    /// is registered, and again while somebody waits for a sign-in that does not come.
    ///
    /// # Errors
    /// [`OauthError::UnknownApplication`], or why it can't be told.
    pub async fn check(&self) -> Result<(), OauthError> {
        let verifier = Verifier(SecretString::from("0".repeat(43)));
        match self.exchange("check", &verifier).await {
            Ok(_) | Err(OauthError::CodeRefused) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Revokes a token; one that does not work any more counts as revoked.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn revoke(&self, token: &SecretString) -> Result<(), OauthError> {
        let body = json!({ "client_id": self.id, "token": token.expose_secret() });
        self.post("revoke", &body).await.map(drop)
    }

    fn endpoint(&self, name: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["oauth", name]);
        }
        url
    }

    async fn post(&self, endpoint: &str, body: &Value) -> Result<Vec<u8>, OauthError> {
        let sent = self.http.writes.post(self.endpoint(endpoint)).json(body).send().await;
        let response = sent.map_err(|error| GitlabError::Unavailable(Some(error.without_url())))?;
        let status = response.status();
        let text = read_body(response, MAX_ANSWER).await.map_err(GitlabError::from)?;
        if status.is_success() {
            return Ok(text);
        }
        let said: Value = serde_json::from_slice(&text).unwrap_or_default();
        Err(match said["error"].as_str() {
            Some("invalid_client" | "unauthorized_client") => OauthError::UnknownApplication,
            Some("invalid_grant") => OauthError::CodeRefused,
            _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                GitlabError::Unavailable(None).into()
            }
            _ => GitlabError::Unexpected(None).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_verifiers_hash() {
        let verifier = Verifier(SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_are_long_enough_and_differ() {
        let [one, other] = [(); 2].map(|()| Verifier::generate().expect("random"));
        assert_eq!(one.0.expose_secret().len(), 43);
        assert_ne!(one.0.expose_secret(), other.0.expose_secret());
    }
}
