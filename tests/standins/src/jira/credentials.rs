//! Bearer tokens of the API gateway: OAuth client credentials, the tokens they are exchanged for, and Forge system
//! tokens.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/software/integrate-jsw-cloud-with-onpremises-tools/>.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::api::{Api, Connection, Provider};
use super::random;

/// What Atlassian gives a client-credentials token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// The audience that a token request must name.
const AUDIENCE: &str = "api.atlassian.com";

#[derive(Debug)]
struct Client {
    secret: String,
    cloud_id: String,
    permissions: BTreeSet<Api>,
}

/// What a bearer token stands for.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    pub provider: Provider,
    pub cloud_id: String,
    pub permissions: BTreeSet<Api>,
    expires: Instant,
}

/// All clients and tokens of a stand-in.
#[derive(Debug)]
pub(super) struct Credentials {
    clients: BTreeMap<String, Client>,
    tokens: BTreeMap<String, Bearer>,
    lifetime: Duration,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), tokens: BTreeMap::new(), lifetime: TOKEN_LIFETIME }
    }
}

impl Credentials {
    /// A new client id and secret for a site.
    pub(super) fn add_client(&mut self, cloud_id: &str, permissions: &[Api]) -> (String, String) {
        let (id, secret) = (random::uuid(), random::secret());
        let permissions = permissions.iter().copied().collect();
        let client = Client { secret: secret.clone(), cloud_id: cloud_id.to_owned(), permissions };
        self.clients.insert(id.clone(), client);
        (id, secret)
    }

    /// Deletes a client and its tokens, as an administrator does.
    pub(super) fn remove_client(&mut self, id: &str) {
        self.clients.remove(id);
        self.tokens.retain(|_, bearer| bearer.provider.id != id);
    }

    /// A token as Forge delivers it to a remote.
    pub(super) fn add_system_token(
        &mut self,
        app: &str,
        cloud_id: &str,
        scopes: &[Api],
        valid: Duration,
    ) -> String {
        let provider = Provider { connection: Connection::Forge, id: app.to_owned() };
        self.issue(provider, cloud_id.to_owned(), scopes.iter().copied().collect(), valid)
    }

    /// How long tokens live that are issued from now on.
    pub(super) fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    /// Ends all tokens of a site.
    pub(super) fn expire_tokens(&mut self, cloud_id: &str) {
        self.tokens.retain(|_, bearer| bearer.cloud_id != cloud_id);
    }

    /// Ends the system tokens of a Forge app on a site.
    pub(super) fn expire_system_tokens(&mut self, app: &str, cloud_id: &str) {
        self.tokens.retain(|_, bearer| bearer.provider.id != app || bearer.cloud_id != cloud_id);
    }

    /// The site that a token request is about, as far as its body says.
    pub(super) fn cloud_of_request(&self, body: &[u8]) -> Option<String> {
        let request: Value = serde_json::from_slice(body).ok()?;
        Some(self.clients.get(request["client_id"].as_str()?)?.cloud_id.clone())
    }

    /// `POST /oauth/token`.
    pub(super) fn exchange(&mut self, body: &[u8]) -> Response {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let field = |name: &str| request[name].as_str().unwrap_or_default();
        if ["grant_type", "client_id", "client_secret", "audience"].iter().any(|name| field(name).is_empty())
        {
            return oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "Missing required parameter");
        }
        if field("grant_type") != "client_credentials" {
            let text = "Grant type not allowed for the client";
            return oauth_error(StatusCode::FORBIDDEN, "unauthorized_client", text);
        }
        let client =
            self.clients.get(field("client_id")).filter(|client| client.secret == field("client_secret"));
        let Some(client) = client else {
            return oauth_error(StatusCode::UNAUTHORIZED, "access_denied", "Unauthorized");
        };
        if field("audience") != AUDIENCE {
            let text = "Client is not authorized to access the audience";
            return oauth_error(StatusCode::FORBIDDEN, "access_denied", text);
        }
        let provider = Provider { connection: Connection::OAuth, id: field("client_id").to_owned() };
        let (cloud_id, permissions) = (client.cloud_id.clone(), client.permissions.clone());
        let token = self.issue(provider, cloud_id, permissions, self.lifetime);
        let answer =
            json!({ "access_token": token, "expires_in": self.lifetime.as_secs(), "token_type": "Bearer" });
        ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
    }

    /// What a token stands for, unless it is unknown or has expired.
    pub(super) fn bearer(&self, token: &str) -> Option<&Bearer> {
        self.tokens.get(token).filter(|bearer| Instant::now() < bearer.expires)
    }

    fn issue(
        &mut self,
        provider: Provider,
        cloud_id: String,
        permissions: BTreeSet<Api>,
        valid: Duration,
    ) -> String {
        let token = random::secret();
        let expires = Instant::now() + valid;
        self.tokens.insert(token.clone(), Bearer { provider, cloud_id, permissions, expires });
        token
    }
}

fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": description }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, secret: &str, grant: &str, audience: &str) -> Vec<u8> {
        let body =
            json!({ "client_id": id, "client_secret": secret, "grant_type": grant, "audience": audience });
        body.to_string().into_bytes()
    }

    #[test]
    fn only_a_complete_and_right_request_gets_a_token() {
        let mut credentials = Credentials::default();
        let (id, secret) = credentials.add_client("cloud", &[Api::Builds]);
        let grant = "client_credentials";
        for (body, status) in [
            (request(&id, &secret, grant, AUDIENCE), 200),
            (request(&id, "wrong", grant, AUDIENCE), 401),
            (request("wrong", &secret, grant, AUDIENCE), 401),
            (request(&id, &secret, "password", AUDIENCE), 403),
            (request(&id, &secret, grant, "api.example.com"), 403),
            (request(&id, &secret, grant, ""), 400),
            (b"client_id=form".to_vec(), 400),
        ] {
            assert_eq!(
                credentials.exchange(&body).status().as_u16(),
                status,
                "{}",
                String::from_utf8_lossy(&body)
            );
        }
        assert_eq!(credentials.tokens.len(), 1);
    }

    #[test]
    fn tokens_expire_and_go_with_their_client() {
        let mut credentials = Credentials::default();
        let (id, secret) = credentials.add_client("cloud", &[Api::Builds]);
        let body = request(&id, &secret, "client_credentials", AUDIENCE);
        credentials.exchange(&body);
        let token = credentials.tokens.keys().next().unwrap().clone();
        assert!(credentials.bearer(&token).is_some());
        credentials.expire_tokens("cloud");
        assert!(credentials.bearer(&token).is_none());

        let dead = credentials.add_system_token("app", "cloud", &[], Duration::ZERO);
        assert!(credentials.bearer(&dead).is_none());

        credentials.exchange(&body);
        credentials.remove_client(&id);
        assert!(credentials.tokens.values().all(|bearer| bearer.provider.id != id));
        assert_eq!(credentials.exchange(&body).status().as_u16(), 401);
    }
}
