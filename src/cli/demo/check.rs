//! Judges each answer, and counts. A score must be right at any time; interests must be right, or refused with 503 while the
//! persistent store is away.

use std::{io, time::Duration};

use super::readiness::Readiness;
use crate::{
    client::{CallAnswer, ClientError, InterestsById},
    domain::{Method, Score},
    http::status::count,
    units::written,
};

/// A judged answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200 with the right content.
    Right,
    /// 503, and the store is away.
    Away,
    /// Anything else, in words without values.
    Wrong(String),
}

/// The counts of a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counts {
    /// Right scores.
    pub(super) scores: u64,
    /// Right interests.
    pub(super) interests: u64,
    /// Interests that were refused while the store was away.
    pub(super) away: u64,
    /// Wrong answers.
    pub(super) wrong: u64,
    /// The time of each score, from the moment when its call was due.
    pub(super) latencies: Vec<Duration>,
}

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: u64,
    wrong: u64,
    first_wrong: Option<String>,
    /// Right interests in a row.
    streak: u64,
    recent: Counts,
}

/// The reason why a demo proves nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Disproved {
    #[error("{wrong} of {calls} calls were answered wrongly; the first: {first}")]
    Wrong { wrong: u64, calls: u64, first: String },
    #[error("{phase}: {expected} was not seen within {}; readiness: {status:?}", written(*.patience))]
    Phase { phase: &'static str, expected: &'static str, patience: Duration, status: String },
    #[error("the service did not stop: {0}")]
    Stop(#[source] io::Error),
}

// ===== impl Verdict =====

impl Verdict {
    /// Judges the answer to `online_score`.
    pub(super) fn of_score(expected: Option<Score>, outcome: &Result<CallAnswer, ClientError>) -> Self {
        match outcome {
            Ok(CallAnswer::Score(score)) if Some(score.value()) == expected.map(Score::value) => Self::Right,
            Ok(_) => Self::Wrong("another score".to_owned()),
            Err(error) => Self::Wrong(error.to_string()),
        }
    }

    /// Judges the answer to `clients_interests`.
    pub(super) fn of_interests(
        expected: &InterestsById,
        outcome: &Result<CallAnswer, ClientError>,
        is_away: bool,
    ) -> Self {
        match outcome {
            Ok(CallAnswer::Interests(interests)) if interests == expected => Self::Right,
            Ok(_) => Self::Wrong("other interests than the stored ones".to_owned()),
            Err(ClientError::Unavailable { .. }) if is_away => Self::Away,
            Err(error) => Self::Wrong(error.to_string()),
        }
    }
}

// ===== impl Counts =====

impl Counts {
    /// Adds the counts of another time.
    pub(super) fn add(&mut self, other: &Self) {
        self.scores += other.scores;
        self.interests += other.interests;
        self.away += other.away;
        self.wrong += other.wrong;
        self.latencies.extend_from_slice(&other.latencies);
    }

    /// The time within which 99 of 100 scores were answered; `None` without a score.
    pub(super) fn p99(&self) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

// ===== impl Tally =====

impl Tally {
    /// Counts the answer to a call.
    pub(super) fn count(&mut self, method: Method, verdict: Verdict, took: Duration) {
        self.calls += 1;
        match (method, &verdict) {
            (Method::OnlineScore, Verdict::Right) => self.recent.scores += 1,
            (Method::ClientsInterests, Verdict::Right) => {
                self.recent.interests += 1;
                self.streak += 1;
            }
            (_, Verdict::Away) => {
                self.recent.away += 1;
                self.streak = 0;
            }
            (_, Verdict::Wrong(_)) => {
                self.wrong += 1;
                self.recent.wrong += 1;
                self.streak = 0;
            }
        }
        if method == Method::OnlineScore {
            self.recent.latencies.push(took);
        }
        if let Verdict::Wrong(reason) = verdict {
            self.first_wrong.get_or_insert_with(|| format!("{}: {reason}", method.as_str()));
        }
    }

    /// The counts since this was called last.
    pub(super) fn take(&mut self) -> Counts {
        std::mem::take(&mut self.recent)
    }

    /// The number of right interests in a row.
    pub(super) fn streak(&self) -> u64 {
        self.streak
    }

    /// Starts the row again.
    pub(super) fn forget_streak(&mut self) {
        self.streak = 0;
    }

    /// The last line of a run.
    pub(super) fn last_line(&self) -> String {
        format!("{} calls, {} wrong", count(self.calls), count(self.wrong))
    }

    /// Whether every answer was right.
    ///
    /// # Errors
    ///
    /// If one was wrong.
    pub(super) fn verdict(&self) -> Result<(), Disproved> {
        match &self.first_wrong {
            None => Ok(()),
            Some(first) => {
                Err(Disproved::Wrong { wrong: self.wrong, calls: self.calls, first: first.clone() })
            }
        }
    }
}

// ===== impl Disproved =====

impl Disproved {
    /// A phase did not reach its goal.
    pub(super) fn phase(
        phase: &'static str,
        expected: &'static str,
        patience: Duration,
        readiness: &Readiness,
    ) -> Self {
        Self::Phase { phase, expected, patience, status: readiness.status.clone() }
    }
}

#[cfg(test)]
mod tests;
