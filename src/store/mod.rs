//! Keeps scores and interests, and stays honest about what it can answer.

pub mod settings;
pub mod url;
