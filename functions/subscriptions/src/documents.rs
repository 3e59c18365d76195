//! The headers of documents and files: who may frame a document, what it may load, and how long it may be kept.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use shared::domain::Connection;
use shared::http::JiraUser;
use shared::page;
use url::Url;

/// The folder's name changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A document in Jira's frame, which this tenant's site alone may frame.
pub(crate) fn framed(document: String, user: &JiraUser, connect_js: &str) -> Response {
    let display_url = match &user.installation.connection {
        Connection::Connect { display_url, .. } => display_url.as_deref(),
        Connection::OauthCredentials { .. } | Connection::Forge { .. } => None,
    };
    let mut ancestors: Vec<String> =
        [Some(user.site.base_url.as_str()), display_url].into_iter().flatten().filter_map(origin).collect();
    ancestors.dedup();
    let ancestors = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
    let scripts = origin(connect_js).unwrap_or_default();
    html(document, &format!("script-src 'self' {scripts}; frame-ancestors {ancestors}"))
}

/// A document that nothing may frame.
pub(crate) fn alone(document: String) -> Response {
    html(document, "script-src 'self'; frame-ancestors 'none'")
}

/// A file of the page, if it is there in this version.
pub(crate) fn asset(version: &str, name: &str) -> Option<Response> {
    let asset = page::asset(name).filter(|_| version == page::version())?;
    let headers = [
        (header::CONTENT_TYPE, format!("{}; charset=utf-8", asset.content_type)),
        (header::CACHE_CONTROL, FOR_EVER.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Some((headers, asset.body).into_response())
}

fn html(document: String, policy: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; {policy}"
    );
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
        // Its address holds a token or a code.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, document).into_response()
}

/// The origin of an http(s) URL, parsed: what somebody else named must not add a second source to the policy.
fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        assert_eq!(origin("https://acme.atlassian.net/x?y").as_deref(), Some("https://acme.atlassian.net"));
        assert_eq!(origin("http://127.0.0.1:8080").as_deref(), Some("http://127.0.0.1:8080"));
        for url in ["https://evil.example *", "javascript:alert(1)", "data:text/html,x", ""] {
            assert_eq!(origin(url), None, "{url}");
        }
    }

    #[test]
    fn files_are_kept_for_ever_in_their_own_version_only() {
        let file = asset(page::version(), "view.js").expect("a file");
        assert_eq!(file.headers()[header::CACHE_CONTROL], FOR_EVER);
        assert!(asset("0000000000000000", "view.js").is_none());
        assert!(asset(page::version(), "nothing.js").is_none());
    }
}
