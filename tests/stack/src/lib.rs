//! The bundle as it is deployed.
