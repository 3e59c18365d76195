//! oauth-application-id
