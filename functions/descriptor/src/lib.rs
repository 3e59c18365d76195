//! descriptor
