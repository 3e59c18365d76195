//! Who calls: Connect JWTs on a site's own paths, bearer tokens on the gateway.
//!
//! Connect follows <https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/>: HS256,
//! `iss` = app key, `exp` near, `qsh` of this very request.

use axum::http::request::Parts;
use axum::http::{Method, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode};
use serde_json::Value;
use shared::jwt::qsh::query_string_hash;
use time::OffsetDateTime;

use super::answer::Refusal;
use super::api::{Api, Connection, Provider};
use super::credentials::Credentials;
use super::state::SiteState;

/// How far ahead `exp` may lie. Atlassian asks for tokens of a few minutes; one that lives for hours is a mistake.
const MAX_LIFETIME: i64 = 600;

/// How far ahead `iat` may lie: clocks differ.
const MAX_SKEW: i64 = 60;

/// The app behind a Connect call of a site, with the scope of the method and, for a provider API, its module.
pub(super) fn connect(state: &SiteState, request: &Parts, api: Api) -> Result<Provider, Refusal> {
    let token = connect_token(request).ok_or_else(|| Refusal::unauthorized("no JWT"))?;
    let claims =
        dangerous::insecure_decode::<Value>(&token).map_err(|_| Refusal::unauthorized("no JWT"))?.claims;
    let app = claims["iss"].as_str().and_then(|issuer| state.apps.get(issuer));
    let app = app.ok_or_else(|| Refusal::unauthorized("iss is not the key of an installed app"))?;
    verify(&token, app.shared_secret.as_bytes(), request)?;

    let scope = scope(&request.method);
    if !app.scopes.contains(scope) {
        return Err(Refusal::forbidden(format!("the app lacks the scope {scope}")));
    }
    if let Some(module) =
        api.connect_module().filter(|module| app.descriptor["modules"].get(module).is_none())
    {
        return Err(Refusal::forbidden(format!("the app lacks the module {module}")));
    }
    Ok(Provider { connection: Connection::Connect, id: app.key.clone() })
}

fn connect_token(request: &Parts) -> Option<String> {
    let header = request.headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    if let Some(token) = header.and_then(|header| header.strip_prefix("JWT ")) {
        return Some(token.to_owned());
    }
    let query = request.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "jwt")
        .map(|(_, token)| token.into_owned())
}

fn verify(token: &str, secret: &[u8], request: &Parts) -> Result<(), Refusal> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.leeway = 0;
    rules.validate_aud = false;
    rules.set_required_spec_claims(&["iss", "exp"]);
    let claims = decode::<Value>(token, &DecodingKey::from_secret(secret), &rules)
        .map_err(|error| Refusal::unauthorized(format!("JWT: {error}")))?
        .claims;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_f64());
    if issued.is_none_or(|issued| issued > now + MAX_SKEW) {
        return Err(Refusal::unauthorized("JWT: iat is missing or lies ahead"));
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    if expires.is_none_or(|expires| expires > (now + MAX_LIFETIME) as f64) {
        return Err(Refusal::unauthorized("JWT: exp lies too far ahead"));
    }
    let hash = query_string_hash(request.method.as_str(), request.uri.path(), request.uri.query());
    if claims["qsh"] != Value::String(hash) {
        return Err(Refusal::unauthorized("JWT: qsh is not that of the request"));
    }
    Ok(())
}

fn scope(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "READ",
        Method::DELETE => "DELETE",
        _ => "WRITE",
    }
}

/// The client or app behind a bearer token, on a path of this connection and this site.
pub(super) fn bearer(
    credentials: &Credentials,
    request: &Parts,
    connection: Connection,
    cloud_id: &str,
    api: Api,
) -> Result<Provider, Refusal> {
    let header = request.headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    let bearer = token
        .and_then(|token| credentials.bearer(token))
        .filter(|bearer| bearer.provider.connection == connection);
    let bearer = bearer
        .ok_or_else(|| Refusal::unauthorized("the token is missing, unknown, expired or of another kind"))?;
    if bearer.cloud_id != cloud_id {
        return Err(Refusal::forbidden("the token is for another site"));
    }
    if !bearer.permissions.contains(&api) {
        return Err(Refusal::forbidden("the token lacks the permission for this API"));
    }
    Ok(bearer.provider.clone())
}
