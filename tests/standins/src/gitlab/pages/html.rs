//! How a page is written. The only place that makes markup: every text is escaped here, whatever it was taken from.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What need not be escaped in a path, with the slashes of branch names and file names.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// No script, no request to anywhere: a page is its own markup and style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("page.css");

/// A value on a page.
pub(super) enum Value {
    Text(String),
    /// Shown in a fixed-width font: hashes, branches, paths.
    Code(String),
    Link {
        url: String,
        text: String,
    },
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    pub(super) fn code(text: impl Into<String>) -> Self {
        Value::Code(text.into())
    }

    pub(super) fn link(url: impl Into<String>, text: impl Into<String>) -> Self {
        Value::Link { url: url.into(), text: text.into() }
    }

    fn write(&self, html: &mut String) {
        // Writing to a string does not fail.
        let _ = match self {
            Value::Text(text) => write!(html, "{}", escaped(text)),
            Value::Code(text) => write!(html, "<code>{}</code>", escaped(text)),
            Value::Link { url, text } => {
                write!(html, "<a href=\"{}\">{}</a>", escaped(url), escaped(text))
            }
        };
    }
}

/// The page of one object, or of a list of them.
#[derive(Default)]
pub(super) struct Page {
    kind: &'static str,
    title: String,
    trail: Vec<Value>,
    facts: Vec<(&'static str, Value)>,
    tables: Vec<Table>,
}

struct Table {
    caption: String,
    rows: Vec<Vec<Value>>,
}

impl Page {
    /// `kind` is what GitLab calls the object: "Merge request".
    pub(super) fn new(kind: &'static str, title: impl Into<String>) -> Self {
        Page { kind, title: title.into(), ..Page::default() }
    }

    /// Adds a link to what the object is in, outermost first.
    pub(super) fn within(mut self, url: impl Into<String>, name: impl Into<String>) -> Self {
        self.trail.push(Value::link(url, name));
        self
    }

    /// Adds what is known of the object.
    pub(super) fn fact(mut self, name: &'static str, value: Value) -> Self {
        self.facts.push((name, value));
        self
    }

    /// Adds it where it is known.
    pub(super) fn fact_if(self, name: &'static str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.fact(name, value),
            None => self,
        }
    }

    /// Adds a list of what belongs to the object; none where there is nothing to list.
    pub(super) fn table(mut self, caption: impl Into<String>, rows: Vec<Vec<Value>>) -> Self {
        if !rows.is_empty() {
            self.tables.push(Table { caption: caption.into(), rows });
        }
        self
    }

    fn markup(&self) -> String {
        let mut html = String::new();
        let _ = write!(
            html,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title} · {kind} · GitLab stand-in</title><style>{STYLE}</style></head>\
             <body><p class=\"what\"><strong>GitLab stand-in.</strong> This is not GitLab: a server that plays it for the demo and \
             the tests, and shows here what it stores.</p><main>",
            title = escaped(&self.title),
            kind = escaped(self.kind),
        );
        if !self.trail.is_empty() {
            html.push_str("<nav aria-label=\"Breadcrumb\">");
            for (index, value) in self.trail.iter().enumerate() {
                html.push_str(if index > 0 { " / " } else { "" });
                value.write(&mut html);
            }
            html.push_str("</nav>");
        }
        let _ = write!(html, "<p class=\"kind\">{}</p><h1>{}</h1>", escaped(self.kind), escaped(&self.title));
        if !self.facts.is_empty() {
            html.push_str("<dl>");
            for (name, value) in &self.facts {
                let _ = write!(html, "<dt>{}</dt><dd>", escaped(name));
                value.write(&mut html);
                html.push_str("</dd>");
            }
            html.push_str("</dl>");
        }
        self.tables.iter().for_each(|table| table.write(&mut html));
        html.push_str("</main></body></html>\n");
        html
    }
}

impl Table {
    fn write(&self, html: &mut String) {
        let _ = write!(html, "<h2>{}</h2><ul>", escaped(&self.caption));
        for row in &self.rows {
            html.push_str("<li>");
            for value in row {
                html.push_str("<span>");
                value.write(html);
                html.push_str("</span> ");
            }
            html.push_str("</li>");
        }
        html.push_str("</ul>");
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        (headers, self.markup()).into_response()
    }
}

/// A branch or a file's name as part of a path.
pub(super) fn in_path(text: &str) -> String {
    utf8_percent_encode(text, IN_PATH).to_string()
}

/// A text that is safe between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
