//! Turns bytes into a message and a reply into bytes.

pub mod settings;
