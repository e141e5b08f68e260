//! Registered partners: each has tokens of its own, which can end, be replaced and be turned off one by one.
//!
//! A token proves account and login joined, and not where the one ends. So the joined text is the key of the table:
//! a caller who moves a letter from one to the other finds the same entry.

use std::{collections::HashMap, fmt, sync::Arc};

use base16ct::lower::encode_string as lower_hex;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::method::Method;

/// Tokens of one partner at the most: an old one and a new one during a rotation.
pub const MOST_TOKENS: usize = 2;

/// Letters of a token: a SHA-512 in hex.
const TOKEN_LETTERS: usize = 128;

/// Hashed in place of a token of another length, so that each check hashes as many bytes.
const NO_TOKEN: [u8; TOKEN_LETTERS] = [b'-'; TOKEN_LETTERS];

/// The SHA-256 of a token's text. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

/// One token of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartnerToken {
    /// Its digest. The token itself is not stored anywhere.
    pub digest: TokenDigest,
    /// It is valid before this time; `None` means without an end.
    pub until: Option<DateTime<Utc>>,
}

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u32);

/// A registered partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    joined: Arc<str>,
    name: Box<str>,
    account_len: usize,
    tokens: [Option<PartnerToken>; MOST_TOKENS],
    /// Whether its calls are accepted.
    pub enabled: bool,
    /// Whether it may ask for the reasons of a score.
    pub explain: bool,
    /// The methods that it may call.
    pub methods: Methods,
}

/// Why a call is refused. Only the log and a metric tell, never the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller is not registered, and the shared salt is off.
    Unknown,
    /// The token does not match.
    Token,
    /// The token matches, and the partner is disabled.
    Disabled,
    /// The token matches, and its time is over.
    Expired,
    /// The token matches, and the partner may not call the method.
    Method,
    /// The caller calls too often.
    Rate,
}

/// All registered partners.
#[derive(Clone, Debug, Default)]
pub struct Partners(HashMap<Arc<str>, Arc<Partner>>);

// ===== impl TokenDigest =====

impl TokenDigest {
    /// The digest of `token`; a token of another length than a SHA-512 has a digest that no token matches.
    #[must_use]
    pub fn of(token: &str) -> (Self, Choice) {
        #[cfg(test)]
        super::auth::work::add_sha256();
        let is_whole = token.len() == TOKEN_LETTERS;
        let hashed = if is_whole { token.as_bytes() } else { &NO_TOKEN };
        (Self(Sha256::digest(hashed).into()), Choice::from(u8::from(is_whole)))
    }

    /// Reads 64 hex digits in lower case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let read = base16ct::lower::decode(text, &mut bytes).ok()?;
        (read.len() == bytes.len()).then_some(())?;
        Some(Self(bytes))
    }

    /// 64 hex digits in lower case, for the partners' file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        lower_hex(&self.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// ===== impl PartnerToken =====

impl PartnerToken {
    /// Whether it is valid at `now`.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

// ===== impl Methods =====

impl Methods {
    /// All methods, also those of later versions.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether `method` is one of them.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }

    const fn bit(method: Method) -> u32 {
        1 << method as u32
    }
}

impl FromIterator<Method> for Methods {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        Self(methods.into_iter().fold(0, |bits, method| bits | Self::bit(method)))
    }
}

// ===== impl Partner =====

impl Partner {
    /// An enabled partner that may call all methods. Tokens after the second are ignored.
    #[must_use]
    pub fn new(account: &str, login: &str, tokens: &[PartnerToken]) -> Self {
        Self {
            joined: [account, login].concat().into(),
            name: [&account.replace('%', "%25").replace('/', "%2F"), "/", login].concat().into(),
            account_len: account.len(),
            tokens: [tokens.first().copied(), tokens.get(1).copied()],
            enabled: true,
            explain: false,
            methods: Methods::ALL,
        }
    }

    /// `account/login`: its name in the log and in metrics. A `/` or `%` of the account is percent-encoded, so that no two
    /// partners have the same name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Account and login, joined: the text that a token proves.
    #[must_use]
    pub fn joined(&self) -> &Arc<str> {
        &self.joined
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.joined.get(..self.account_len).unwrap_or_default()
    }

    /// Its login.
    #[must_use]
    pub fn login(&self) -> &str {
        self.joined.get(self.account_len..).unwrap_or_default()
    }

    /// Its tokens, at most [`MOST_TOKENS`].
    pub fn tokens(&self) -> impl Iterator<Item = &PartnerToken> {
        self.tokens.iter().flatten()
    }

    /// Whether `token` is valid for a call of `method` at `now`. An unknown method is not judged here.
    ///
    /// Does the same work for each outcome: it hashes one token, compares it with two digests, and has all conditions
    /// before it looks at one of them.
    pub(super) fn check(
        &self,
        token: &str,
        method: Option<Method>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let (given, is_whole) = TokenDigest::of(token);
        let (mut matches, mut is_live) = (Choice::from(0), Choice::from(0));
        for slot in &self.tokens {
            // An empty slot is compared as well, and never matches.
            let is_there = Choice::from(u8::from(slot.is_some()));
            let expected = slot.as_ref().map_or([0; 32], |token| token.digest.0);
            let live = slot.as_ref().is_some_and(|token| token.is_live(now));
            let same = expected.ct_eq(&given.0) & is_there & is_whole;
            matches |= same;
            is_live |= same & Choice::from(u8::from(live));
        }
        let allows = method.is_none_or(|method| self.methods.contains(method));
        match (bool::from(matches), self.enabled, bool::from(is_live), allows) {
            (false, _, _, _) => Err(Refused::Token),
            (true, false, _, _) => Err(Refused::Disabled),
            (true, true, false, _) => Err(Refused::Expired),
            (true, true, true, false) => Err(Refused::Method),
            (true, true, true, true) => Ok(()),
        }
    }
}

// ===== impl Refused =====

impl Refused {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Token, Self::Disabled, Self::Expired, Self::Method, Self::Rate];

    /// Its name in the log and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Token => "token",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Method => "method",
            Self::Rate => "rate",
        }
    }
}

// ===== impl Partners =====

impl Partners {
    /// Adds a partner, unless the table has its joined text already: then returns the earlier one.
    ///
    /// # Errors
    ///
    /// The entry with the same joined text.
    pub fn insert(&mut self, partner: Partner) -> Result<(), Arc<Partner>> {
        if let Some(earlier) = self.0.get(&partner.joined) {
            return Err(earlier.clone());
        }
        self.0.insert(partner.joined.clone(), Arc::new(partner));
        Ok(())
    }

    /// The partner with this account and login, joined.
    #[must_use]
    pub fn get(&self, account: &str, login: &str) -> Option<&Arc<Partner>> {
        self.0.get([account, login].concat().as_str())
    }

    /// All partners, in any order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.0.values()
    }

    /// The number of partners.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is not one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
