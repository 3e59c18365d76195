//! The query-string hash against vectors computed with Atlassian's own library.

use serde::Deserialize;
use shared::jwt::qsh;

use crate::reference;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    method: String,
    url: String,
    base_url: String,
    canonical: String,
    qsh: String,
}

impl Vector {
    /// The path and query below the base URL, whose own path is not part of the hash. A vector's URL may
    /// repeat the base URL's origin or start with its path.
    fn target(&self) -> (&str, Option<&str>) {
        let below =
            self.url.strip_prefix(&self.base_url).or_else(|| self.url.strip_prefix(path_of(&self.base_url)));
        let below = below.unwrap_or(&self.url);
        below.split_once('?').map_or((below, None), |(path, query)| (path, Some(query)))
    }
}

fn path_of(url: &str) -> &str {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    address.find('/').map_or("", |start| &address[start..])
}

#[test]
fn vectors_of_the_official_library() {
    let Some(reference) = reference() else { return };
    let document = reference.json("schemas/qsh-vectors.json").unwrap();
    let Vectors { vectors } = serde_json::from_value(document).unwrap();
    assert_eq!(vectors.len(), 16);
    for vector in &vectors {
        let (path, query) = vector.target();
        assert_eq!(qsh::canonical_request(&vector.method, path, query), vector.canonical, "{}", vector.url);
        assert_eq!(qsh::query_string_hash(&vector.method, path, query), vector.qsh, "{}", vector.url);
    }
}
