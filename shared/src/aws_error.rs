//! Why a call to AWS failed, in a few words that are safe to log. What a failure leads to belongs to whoever made the call.

use std::borrow::Cow;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// Why a service did not do what it was asked: the code of its error, or what kept it from answering. Its own sentence is
/// left out, because it may quote the request.
pub(crate) fn cause<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Cow<'_, str> {
    const UNREADABLE: &str = "an answer that can't be read";
    match error {
        SdkError::ServiceError(answer) => match answer.err().code() {
            Some(code) => code.into(),
            None if answer.raw().status().is_success() => UNREADABLE.into(),
            None => format!("HTTP status {}", answer.raw().status()).into(),
        },
        SdkError::TimeoutError(_) => "no answer in time".into(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time".into(),
        SdkError::DispatchFailure(failure) if failure.is_io() => "no connection".into(),
        SdkError::ResponseError(_) => UNREADABLE.into(),
        // No credentials, or an address that makes no sense.
        _ => "the call can't be made".into(),
    }
}
