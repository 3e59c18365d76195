//! One API call: who makes it, where to, and with which parameters. Everything about credentials is here.

use std::collections::HashMap;

use axum::body::to_bytes;
use axum::extract::{FromRequestParts as _, OriginalUri, RawPathParams, Request};
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use url::form_urlencoded;

use super::{Need, Refusal};
use crate::gitlab::clock;
use crate::gitlab::state::{Project, Role, TokenKind, World};

/// Nothing a caller sends here is larger.
const LARGEST_BODY: usize = 1024 * 1024;

/// A call as it came in.
pub(crate) struct Call {
    secret: Option<(String, bool)>,
    path: HashMap<String, String>,
    params: Map<String, Value>,
    /// Full address with query, for links to other pages.
    pub(crate) url: String,
    /// Who calls, once the credential was checked.
    caller: Option<Caller>,
}

/// A known caller.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) user: u64,
    pub(crate) token: u64,
}

impl Call {
    /// Reads a request; the credential is not checked yet.
    pub(crate) async fn read(request: Request, base_url: &str) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let raw =
            RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| Refusal::no_route())?;
        let path = raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // Inside the nested router the address lacks `/api/v4`.
        let uri =
            parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.clone(), |uri| uri.0.clone());
        let url = format!("{base_url}{uri}");
        let body = to_bytes(body, LARGEST_BODY).await.map_err(|_| Refusal::invalid("body"))?;
        let mut params = Map::new();
        add_form(&mut params, parts.uri.query().unwrap_or_default().as_bytes());
        let kind =
            parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") && !body.is_empty() {
            let sent: Map<String, Value> =
                serde_json::from_slice(&body).map_err(|_| Refusal::invalid("body"))?;
            params.extend(sent);
        } else {
            add_form(&mut params, &body);
        }
        Ok(Call { secret: secret(&parts.headers), path, params, url, caller: None })
    }

    /// Checks the credential and its scope. No credential at all is for each route to judge.
    pub(crate) fn authenticate(&mut self, world: &mut World, need: Need) -> Result<(), Refusal> {
        let Some((secret, bearer)) = self.secret.clone() else {
            return Ok(());
        };
        let now = world.clock.peek();
        let token =
            world.tokens.values().find(|token| token.secret == secret).ok_or_else(Refusal::unauthorized)?;
        if token.kind == TokenKind::OAuth && !bearer {
            return Err(Refusal::unauthorized());
        }
        if token.revoked {
            let family = token.family;
            if need == Need::Rotate {
                // A token that was rotated was used again: GitLab revokes its whole token family.
                world
                    .tokens
                    .values_mut()
                    .filter(|token| token.family == family)
                    .for_each(|t| t.revoked = true);
            }
            return Err(Refusal::invalid_token("Token was revoked. You have to re-authorize from the user."));
        }
        if token.expired(now) {
            return Err(Refusal::invalid_token(
                "Token is expired. You can either do re-authorization or token refresh.",
            ));
        }
        if world.user(token.user).blocked {
            return Err(Refusal::blocked());
        }
        let scopes = need.scopes();
        if !scopes.is_empty() && !scopes.iter().any(|scope| token.has_scope(scope)) {
            return Err(Refusal::insufficient_scope(scopes));
        }
        self.caller = Some(Caller { user: token.user, token: token.id });
        Ok(())
    }

    /// The caller, or 401 without credentials.
    pub(crate) fn caller(&self) -> Result<Caller, Refusal> {
        self.caller.ok_or_else(Refusal::unauthorized)
    }

    /// The caller's user, if there is one.
    pub(crate) fn user(&self) -> Option<u64> {
        self.caller.map(|caller| caller.user)
    }

    /// The project in the path, if the caller may know of it.
    pub(crate) fn project<'w>(&self, world: &'w World) -> Result<&'w Project, Refusal> {
        let id = world.find_project(self.path("id")).ok_or_else(|| Refusal::not_found("Project"))?;
        let project = world.project(id);
        if world.sees_project(self.user(), project) {
            Ok(project)
        } else {
            Err(Refusal::not_found("Project"))
        }
    }

    /// The project in the path, if the caller may read its code; guests may not.
    pub(crate) fn code<'w>(&self, world: &'w World) -> Result<&'w Project, Refusal> {
        let project = self.project(world)?;
        if world.reads_code(self.user(), project) { Ok(project) } else { Err(Refusal::forbidden()) }
    }

    /// The project in the path, if the caller has at least this role in it.
    pub(crate) fn project_as<'w>(&self, world: &'w World, role: Role) -> Result<&'w Project, Refusal> {
        let project = self.project(world)?;
        let user = self.caller()?.user;
        if world.has_project_role(user, project, role) { Ok(project) } else { Err(Refusal::forbidden()) }
    }

    /// The group in the path, if the caller may know of it.
    pub(crate) fn group(&self, world: &World) -> Result<u64, Refusal> {
        let id = world.find_group(self.path("id")).ok_or_else(|| Refusal::not_found("Group"))?;
        if world.sees_group(self.user(), id) { Ok(id) } else { Err(Refusal::not_found("Group")) }
    }

    /// A part of the path, decoded.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A number in the path; anything else is not found.
    pub(crate) fn path_number(&self, name: &str) -> Result<u64, Refusal> {
        self.path(name).parse().map_err(|_| Refusal::plain_not_found())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.contains_key(name)
    }

    /// No parameter at all was sent.
    pub(crate) fn is_bare(&self) -> bool {
        self.params.is_empty()
    }

    /// As it was sent.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        self.params.get(name).cloned()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.params.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn required(&self, name: &str) -> Result<String, Refusal> {
        self.text(name).ok_or_else(|| Refusal::missing(name))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.text(name).map(|text| text.parse().map_err(|_| Refusal::invalid(name))).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let parse = |text: String| match text.as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" | "" => Ok(false),
            _ => Err(Refusal::invalid(name)),
        };
        self.text(name).map(parse).transpose()
    }

    pub(crate) fn date(&self, name: &str) -> Result<Option<OffsetDateTime>, Refusal> {
        self.text(name).map(|text| clock::parse(&text).ok_or_else(|| Refusal::invalid(name))).transpose()
    }

    pub(crate) fn day(&self, name: &str) -> Result<Option<time::Date>, Refusal> {
        self.text(name).map(|text| clock::parse_day(&text).ok_or_else(|| Refusal::invalid(name))).transpose()
    }

    /// A list: JSON array, `name[]=a&name[]=b`, or `name=a,b`.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.params.get(name) {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned))
                .collect(),
            Some(Value::String(text)) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            Some(other) => vec![other.to_string()],
            None => Vec::new(),
        }
    }

    /// A list of `{key, value}`.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Refusal> {
        let Some(list) = self.params.get(name) else {
            return Ok(Vec::new());
        };
        let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
        let pair = |item: &Value| Some((text(item, "key")?, text(item, "value")?));
        let pairs = list.as_array().and_then(|items| items.iter().map(pair).collect::<Option<Vec<_>>>());
        pairs.ok_or_else(|| Refusal::invalid(name))
    }

    /// One of a few words, or the first of them.
    pub(crate) fn choice<'a>(&self, name: &str, choices: &[&'a str]) -> Result<&'a str, Refusal> {
        match self.text(name) {
            None => Ok(choices.first().copied().unwrap_or_default()),
            Some(text) => choices
                .iter()
                .copied()
                .find(|choice| *choice == text)
                .ok_or_else(|| Refusal::no_valid_value(name)),
        }
    }

    /// One of a few words, if there is any.
    pub(crate) fn optional_choice<'a>(
        &self,
        name: &str,
        choices: &[&'a str],
    ) -> Result<Option<&'a str>, Refusal> {
        if self.has(name) { self.choice(name, choices).map(Some) } else { Ok(None) }
    }
}

/// The credential and whether it came as `Bearer`.
fn secret(headers: &HeaderMap) -> Option<(String, bool)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(secret) = text("private-token") {
        return Some((secret.to_owned(), false));
    }
    let bearer = text(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ")?;
    Some((bearer.to_owned(), true))
}

/// Adds `a=1&b[]=2&b[]=3`.
fn add_form(params: &mut Map<String, Value>, form: &[u8]) {
    for (name, value) in form_urlencoded::parse(form) {
        match name.strip_suffix("[]") {
            None => {
                params.insert(name.into_owned(), json!(value));
            }
            Some(name) => {
                let list = params.entry(name).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(json!(value));
                }
            }
        }
    }
}
