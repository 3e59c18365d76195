//! create-branch
