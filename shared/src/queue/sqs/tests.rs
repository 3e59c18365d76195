//! What SQS may answer, played back; that the real calls are understood is for the contract's suite on the emulators.

mod dead_letters;
mod script;
mod sending;
