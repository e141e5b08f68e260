//! The protocol's methods.

use super::fields::Faults;

/// Declares the methods: the enum, the list of all of them, and their names. An entry here is all that names, error texts,
/// metrics and the batch reader need.
macro_rules! methods {
    ($( $(#[$attribute:meta])* $method:ident = $name:literal, )*) => {
        /// A method of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $( $(#[$attribute])* $method, )*
        }

        impl Method {
            /// All methods, in the order of the protocol's description.
            pub const ALL: &'static [Self] = &[$( Self::$method ),*];

            /// Its name in the protocol.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$method => $name, )*
                }
            }
        }
    };
}

methods! {
    /// Computes a person's score, with [`OnlineScore`](super::OnlineScore).
    OnlineScore = "online_score",
    /// Reads clients' interests, with [`ClientsInterests`](super::ClientsInterests).
    ClientsInterests = "clients_interests",
}

// ===== impl Method =====

impl Method {
    /// The method with exactly this name.
    ///
    /// # Errors
    ///
    /// The fault of `method`, if there is no such method.
    pub fn from_name(name: &str) -> Result<Self, Faults> {
        Self::named(name).ok_or_else(|| Faults::one("method", Self::rule()))
    }

    /// The method with exactly this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.as_str() == name)
    }

    /// The rule of the field `method`: `must be online_score or clients_interests`.
    #[must_use]
    pub fn rule() -> String {
        let names: Vec<_> = Self::ALL.iter().map(|method| method.as_str()).collect();
        format!("must be {}", names.join(" or "))
    }
}
