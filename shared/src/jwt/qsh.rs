//! Atlassian's query-string hash: the claim that ties a Connect token to one method, path and query.
//! Follows "Creating a query string hash" (<https://developer.atlassian.com/cloud/bitbucket/query-string-hash/>).
//! Reading tokens, and deciding which endpoints accept `context-qsh`, belong to the modules beside this one.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// RFC 3986's unreserved characters stay as they are; everything else is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The constant that tokens from `AP.context.getToken()` carry instead of a hash.
pub const CONTEXT_QSH: &str = "context-qsh";

/// The canonical request of a call: `METHOD&path&query`.
///
/// `path` is relative to the base URL of whoever is called and is used as it was sent, never decoded;
/// `query` is the raw query string without its `?`.
#[must_use]
pub fn canonical_request(method: &str, path: &str, query: Option<&str>) -> String {
    format!(
        "{}&{}&{}",
        method.to_uppercase(),
        canonical_path(path),
        canonical_query(query.unwrap_or_default())
    )
}

/// SHA-256 of the [`canonical_request`] in lower-case hex.
#[must_use]
pub fn query_string_hash(method: &str, path: &str, query: Option<&str>) -> String {
    hex::encode(digest::digest(&digest::SHA256, canonical_request(method, path, query).as_bytes()))
}

fn canonical_path(path: &str) -> String {
    let path = path.replace('&', "%26");
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(stripped) => stripped.to_owned(),
    }
}

fn canonical_query(query: &str) -> String {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decode(name);
        if name != "jwt" {
            parameters.entry(name).or_default().push(form_decode(value));
        }
    }
    let mut canonical = String::with_capacity(query.len());
    for (name, mut values) in parameters {
        values.sort_unstable();
        if !canonical.is_empty() {
            canonical.push('&');
        }
        canonical.extend(utf8_percent_encode(&name, RESERVED));
        canonical.push('=');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                canonical.push(',');
            }
            canonical.extend(utf8_percent_encode(value, RESERVED));
        }
    }
    canonical
}

fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_strings_of_the_documented_requests() {
        for (method, path, query, canonical) in [
            ("GET", "/", None, "GET&/&"),
            ("post", "/user/", None, "POST&/user&"),
            ("GET", "/a//b/", Some(""), "GET&/a//b&"),
            ("GET", "", None, "GET&/&"),
            ("GET", "/p", Some("a=x+y&b=x%20y&c=%2B"), "GET&/p&a=x%20y&b=x%20y&c=%2B"),
            ("GET", "/p", Some("A=a&A=B&a=c"), "GET&/p&A=B,a&a=c"),
            ("GET", "/p", Some("q=1,2&q=3"), "GET&/p&q=1%2C2,3"),
            ("GET", "/p", Some("x=~*!'()"), "GET&/p&x=~%2A%21%27%28%29"),
            ("GET", "/a&b/c", Some("d=1&jwt=x"), "GET&/a%26b/c&d=1"),
        ] {
            assert_eq!(canonical_request(method, path, query), canonical);
        }
    }

    /// Q2, Q3, Q5, Q6, Q8.
    #[test]
    fn hashes_of_the_acceptance_cases() {
        for (method, path, hash) in [
            (
                "POST",
                "/events/uninstalled",
                "57d5306d4c520456ebb58ac802779232a941e583589354b8a31aa949cdd4c9ae",
            ),
            ("GET", "/subscriptions", "e26e9d1797cde20a340efacb0c2c0b919e26015d55cdfd375e696792f09baebf"),
            (
                "POST",
                "/rest/devinfo/0.10/bulk",
                "8cc25e28719a5c3212595a135795bfe0a0e54b0395b1291f91d8b8c47373672c",
            ),
            (
                "POST",
                "/rest/builds/0.1/bulk",
                "0947f5bc05f2c4728bc2e3905089951a4aa601772a79268aa983e2ef881b79ff",
            ),
            (
                "POST",
                "/rest/featureflags/0.1/bulk",
                "e7c19fd4100af1d36fb5ced604f41e5fd7688178f5e3c2e3f8abfbd50b3637ea",
            ),
        ] {
            assert_eq!(query_string_hash(method, path, None), hash);
        }
    }

    proptest! {
        #[test]
        fn order_and_token_do_not_matter(mut pairs in proptest::collection::vec(("[a-zA-Z]{1,4}", "[ -~]{0,6}"), 0..8)) {
            let encode = |pairs: &[(String, String)]| pairs.iter()
                .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)))
                .collect::<Vec<_>>().join("&");
            pairs.retain(|(name, _)| name != "jwt");
            let forward = encode(&pairs);
            pairs.reverse();
            let backward = format!("jwt=abc&{}", encode(&pairs));
            prop_assert_eq!(canonical_request("GET", "/p", Some(&forward)), canonical_request("GET", "/p", Some(&backward)));
        }

        #[test]
        fn never_panics(method in ".*", path in ".*", query in ".*") {
            let _ = query_string_hash(&method, &path, Some(&query));
        }
    }
}
