//! `open`: a link to the local page that works once.

use serde::{Deserialize, Serialize};
use shared::bundle::OAUTH_CALLBACKS;
use shared::page::PageApi;

use super::{Operator, Refusal};

/// What `open` answers.
#[derive(Clone, Serialize, Deserialize)]
pub struct PageOpened {
    /// The link. Whoever follows it first gets in, within a few minutes.
    pub url: String,
}

impl std::fmt::Debug for PageOpened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Operator {
    pub(super) fn open(&self) -> Result<PageOpened, Refusal> {
        let url = self.page_sessions.invite().map_err(|error| Refusal::new(error.to_string()))?;
        Ok(PageOpened { url })
    }

    /// What the local page's API works with.
    #[must_use]
    pub fn page_api(&self) -> PageApi {
        PageApi {
            linking: self.linking.clone(),
            application_id: self.application_id.clone(),
            redirect_uri: format!("{}{}", self.base_url, OAUTH_CALLBACKS.path),
        }
    }
}

impl PageOpened {
    pub(super) fn lines(&self) -> Vec<String> {
        vec![format!("Open {}", self.url)]
    }
}
