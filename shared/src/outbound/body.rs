//! The body of an answer, read no further than its caller can use. What is in it belongs to the caller.

use reqwest::Response;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke off or timed out. Without the URL, which may hold what must not be logged.
    #[error("the answer broke off")]
    Interrupted(#[source] reqwest::Error),
    /// It is longer than the limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// The body of `response`, of at most `limit` bytes: whoever answers must not decide how much memory that takes.
///
/// # Errors
/// [`BodyError`].
pub async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let interrupted = |error: reqwest::Error| BodyError::Interrupted(error.without_url());
    while let Some(chunk) = response.chunk().await.map_err(interrupted)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::test_server::{Answer, TestServer};

    async fn get(server: &TestServer, limit: usize) -> Result<Vec<u8>, BodyError> {
        read_body(reqwest::get(server.url("/")).await.expect("an answer"), limit).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let server = TestServer::start();
        server.answer("/", Answer::new(200, "12345"));
        assert_eq!(get(&server, 5).await.expect("short enough"), b"12345");
        assert!(matches!(get(&server, 4).await, Err(BodyError::TooLong(4))));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_short_body() {
        let server = TestServer::start();
        server.answer("/", Answer::new(200, "12345").cut_to(3));
        let error = get(&server, 5).await.expect_err("two bytes are missing");
        let BodyError::Interrupted(cause) = &error else { panic!("{error:?}") };
        assert_eq!(cause.url(), None);
    }
}
