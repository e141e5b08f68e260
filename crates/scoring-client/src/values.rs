//! The values of an answer.

use serde::Serialize;

/// A method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Computes a person's score.
    OnlineScore,
    /// Reads clients' interests.
    ClientsInterests,
}

/// A score: finite, at least 0, and never -0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub struct Score(f64);

/// A score with its reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The score.
    pub score: Score,
    /// The codes of the reasons that lowered it most, at first the most important one.
    pub reasons: Vec<String>,
    /// The version of the scorecard.
    pub card: String,
}

// ===== impl Method =====

impl Method {
    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlineScore => "online_score",
            Self::ClientsInterests => "clients_interests",
        }
    }
}

// ===== impl Score =====

impl Score {
    /// A score of `value`, or `None` if no score can have that value.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0.0, Some(0.0))]
    #[case::negative_zero(-0.0, Some(0.0))]
    #[case::some(3.5, Some(3.5))]
    #[case::negative(-1.0, None)]
    #[case::infinite(f64::INFINITY, None)]
    #[case::not_a_number(f64::NAN, None)]
    fn a_score_is_finite_and_not_negative(#[case] value: f64, #[case] expected: Option<f64>) {
        let score = Score::new(value).map(Score::value);
        assert_eq!(score, expected);
        assert!(score.is_none_or(f64::is_sign_positive));
    }
}
