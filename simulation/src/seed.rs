//! Seeds: one number, from which everything in a run is drawn.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// The version of the drawing. A seed of another version would draw another script.
pub const VERSION: u32 = 1;

/// A seed, written `1-00000000000004d2`: the version of the drawing, and the number in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(NonZeroU64);

/// Why a text is not a seed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeed {
    /// It has another form.
    #[error("{0:?} is not a seed; a seed looks like {VERSION}-00000000000004d2")]
    Form(String),
    /// It was drawn by another version of the simulation.
    #[error("the seed {seed} is of version {version}; this simulation draws scripts of version {VERSION}")]
    Version {
        /// The seed.
        seed: String,
        /// Its version.
        version: u32,
    },
}

// ===== impl Seed =====

impl Seed {
    /// The seed with this number; 0 counts as 1.
    pub fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// A random seed.
    pub fn random() -> Self {
        Self::new(fastrand::u64(..))
    }

    /// A generator for one part of a run. Parts do not disturb each other's numbers.
    pub fn generator(self, part: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0.get().wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}-{:016x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = BadSeed;

    fn from_str(text: &str) -> Result<Self, BadSeed> {
        let form = || BadSeed::Form(text.to_owned());
        let (version, number) = text.split_once('-').ok_or_else(form)?;
        let version: u32 = version.parse().map_err(|_| form())?;
        if number.len() != 16 || number.starts_with('+') {
            return Err(form());
        }
        let number = u64::from_str_radix(number, 16).map_err(|_| form())?;
        if version != VERSION {
            return Err(BadSeed::Version { seed: text.to_owned(), version });
        }
        NonZeroU64::new(number).map(Self).ok_or_else(form)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_seed_is_read_back() {
        let seed = Seed::new(1234);
        assert_eq!(seed.to_string(), "1-00000000000004d2");
        assert_eq!(seed.to_string().parse(), Ok(seed));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_number("1234")]
    #[case::too_short("1-4d2")]
    #[case::not_hexadecimal("1-000000000000xyz1")]
    #[case::a_sign("1-+0000000000004d2")]
    #[case::zero("1-0000000000000000")]
    fn another_form_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Seed>(), Err(BadSeed::Form(text.to_owned())));
    }

    #[test]
    fn another_version_is_refused_in_one_line() {
        let error = "7-00000000000004d2".parse::<Seed>().unwrap_err().to_string();
        assert_eq!(
            error,
            "the seed 7-00000000000004d2 is of version 7; this simulation draws scripts of version 1"
        );
    }
}
