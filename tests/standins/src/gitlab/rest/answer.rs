//! Answers that carry something, and the pages lists come in
//! (<https://docs.gitlab.com/api/rest/#offset-based-pagination>).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use url::form_urlencoded;

use super::Refusal;
use super::call::Call;

/// The size of a page by default.
const DEFAULT_PAGE: usize = 20;
/// Larger pages are silently cut to this.
pub(crate) const LARGEST_PAGE: usize = 100;
/// Longer lists are not counted out: no `X-Total`, no `X-Total-Pages`.
const COUNTED_ROWS: usize = 10_000;

pub(crate) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

pub(crate) type Outcome = Result<Answer, Refusal>;

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Answer { status: StatusCode::OK, body: Some(body), headers: Vec::new() }
    }

    pub(crate) fn created(body: Value) -> Self {
        Answer { status: StatusCode::CREATED, ..Answer::ok(body) }
    }

    pub(crate) fn no_content() -> Self {
        Answer { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new() }
    }

    /// One page of a list, with its headers. Only what is on the page is rendered.
    pub(crate) fn page<T>(call: &Call, items: &[T], render: impl Fn(&T) -> Value) -> Outcome {
        let counted = items.len() <= COUNTED_ROWS;
        Answer::part(call, items, counted, LARGEST_PAGE, render)
    }

    /// As [`Answer::page`] for lists GitLab never counts.
    pub(crate) fn uncounted_page<T>(call: &Call, items: &[T], render: impl Fn(&T) -> Value) -> Outcome {
        Answer::part(call, items, false, LARGEST_PAGE, render)
    }

    pub(crate) fn part<T>(
        call: &Call,
        items: &[T],
        counted: bool,
        largest: usize,
        render: impl Fn(&T) -> Value,
    ) -> Outcome {
        if call.text("pagination").as_deref() == Some("keyset") {
            return Err(Refusal::no_keyset());
        }
        let page = positive(call, "page", 1)?;
        let size = positive(call, "per_page", DEFAULT_PAGE)?.min(largest);
        let pages = items.len().div_ceil(size).max(1);
        let rows = items.iter().skip((page - 1) * size).take(size);
        let mut answer = Answer::ok(rows.map(render).collect());
        answer.headers = page_headers(call, page, size, pages, counted.then_some(items.len()));
        Ok(answer)
    }
}

/// An object with the fields of another added.
pub(crate) fn extended(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn positive(call: &Call, name: &str, default: usize) -> Result<usize, Refusal> {
    match call.number(name)? {
        None => Ok(default),
        Some(0) => Err(Refusal::no_valid_value(name)),
        Some(number) => usize::try_from(number).map_err(|_| Refusal::invalid(name)),
    }
}

fn page_headers(
    call: &Call,
    page: usize,
    size: usize,
    pages: usize,
    total: Option<usize>,
) -> Vec<(&'static str, String)> {
    let next = (page < pages).then_some(page + 1);
    let previous = (page > 1).then_some(page - 1);
    let text = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
    let mut headers = vec![
        ("x-page", page.to_string()),
        ("x-per-page", size.to_string()),
        ("x-next-page", text(next)),
        ("x-prev-page", text(previous)),
    ];
    let mut links = vec![("prev", previous), ("next", next), ("first", Some(1))];
    if let Some(total) = total {
        headers.push(("x-total", total.to_string()));
        headers.push(("x-total-pages", pages.to_string()));
        links.push(("last", Some(pages)));
    }
    let links: Vec<String> = links
        .into_iter()
        .filter_map(|(relation, page)| Some(format!("<{}>; rel=\"{relation}\"", page_url(call, page?, size))))
        .collect();
    headers.push(("link", links.join(", ")));
    headers
}

/// The same call for another page.
fn page_url(call: &Call, page: usize, size: usize) -> String {
    let (base, query) = call.url.split_once('?').unwrap_or((&call.url, ""));
    let others =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page" && name != "per_page");
    let mut all = form_urlencoded::Serializer::new(String::new());
    all.extend_pairs(others)
        .append_pair("page", &page.to_string())
        .append_pair("per_page", &size.to_string());
    format!("{base}?{}", all.finish())
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => {
                (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
            }
            None => self.status.into_response(),
        };
        for (name, value) in self.headers {
            let value: HeaderValue = value.parse().expect("numbers and encoded addresses stand in a header");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        response
    }
}
