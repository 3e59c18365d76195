//! The product's own code, and these checks themselves, against the reference data.
//! Every test says that it was skipped when `REFERENCE_DIR` names no folder.

mod documents;
mod hooks;
mod qsh;

use contracts::reference::{Reference, SKIPPED};

/// The reference folder, or `None` after saying so.
fn reference() -> Option<Reference> {
    let reference = Reference::from_environment();
    if reference.is_none() {
        println!("{SKIPPED}");
    }
    reference
}
