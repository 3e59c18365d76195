//! The page on which a person says in which GitLab a branch is to be, for a site with links to several. It needs no script,
//! and nothing on it may lead to or be shown in a page of somebody else.

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use maud::{DOCTYPE, PreEscaped, html};
use shared::text::{clean, count};
use url::Url;

const STYLE: &str = include_str!("chooser.css");

/// How many of an instance's groups are named.
const MAX_GROUPS: usize = 10;

/// A GitLab to choose.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Its base URL.
    pub(crate) instance: String,
    /// The full paths of its linked groups.
    pub(crate) groups: Vec<String>,
    /// Its page for a new branch, with the issue.
    pub(crate) page: Url,
}

/// The page with these choices. What is shown of the issue is what the caller says of it.
pub(crate) fn page(issue_key: &str, issue_summary: &str, choices: &[Choice]) -> Response {
    let title = match clean(issue_key, 50) {
        key if key.trim().is_empty() => "Create a branch".to_owned(),
        key => format!("Create a branch for {key}"),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    @if !issue_summary.trim().is_empty() { p { (clean(issue_summary, 255)) } }
                    p { "Groups of several GitLab instances are linked to this Jira site. Choose the one that has the project." }
                    ul {
                        @for choice in choices {
                            li {
                                a href=(choice.page) rel="noreferrer" {
                                    (choice.instance.trim_start_matches("https://"))
                                    small { (groups(&choice.groups)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))
    );
    let headers =
        [(header::CONTENT_SECURITY_POLICY, policy.as_str()), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Html(page.into_string())).into_response()
}

/// The first few, and how many more there are.
fn groups(paths: &[String]) -> String {
    let (named, more) = paths.split_at(paths.len().min(MAX_GROUPS));
    let named = named.join(", ");
    match more.len() {
        0 => named,
        more => format!("{named} and {}", count(more as u64, "more group", "more groups")),
    }
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn not_every_group_is_named() {
        let paths: Vec<String> = (1..=12).map(|number| format!("g{number}")).collect();
        assert_eq!(groups(&paths[..2]), "g1, g2");
        assert_eq!(groups(&paths[..11]), "g1, g2, g3, g4, g5, g6, g7, g8, g9, g10 and 1 more group");
        assert!(groups(&paths).ends_with("g10 and 2 more groups"));
    }
}
