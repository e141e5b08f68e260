//! Values that must never reach a log.

use std::fmt;

/// A personal value or a secret: a type that holds it can derive `Debug` without showing it.
///
/// For the service's own secrets, which should also be wiped from memory, there is `secrecy`; this type keeps equality
/// and hashing, which request values need.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Make sure that it goes to no log, metric or trace.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
