//! One failed attempt to connect to one address.

use std::fmt;

use super::{BackendError, Remedy};

/// Maximum failures in a text; a name may have any number of addresses.
const SHOWN: usize = 4;

/// The reason why there is no connection to one address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{server}: {step}{error}")]
pub struct FailedAttempt {
    /// The address and port, or the path of the socket.
    pub server: String,
    /// The step that failed.
    pub step: Step,
    /// The error of that step; never a [`BackendError::Connect`].
    pub error: BackendError,
}

/// A step on the way to a usable connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The socket.
    Open,
    /// The TLS handshake.
    Tls,
    /// The server rejected the connection before it read anything, and closed it: `ERR max number of clients
    /// reached`.
    Greeting,
    /// `AUTH`.
    Auth,
    /// `SELECT`.
    Select,
    /// `ROLE`, of a server that sentinels name.
    Role,
    /// `PING`, the last step.
    Ping,
    /// The first write to memcached.
    Write,
    /// The first call of a function of Tarantool.
    Call,
}

// ===== impl FailedAttempt =====

impl FailedAttempt {
    /// An unspecific error is about the password of `AUTH`, the database of `SELECT`, or a command or function that the
    /// server does not have.
    fn remedy(&self) -> Remedy {
        match (self.step, self.error.remedy()) {
            (Step::Auth | Step::Select | Step::Write | Step::Call, Remedy::Configuration) => {
                Remedy::Configuration
            }
            (_, Remedy::Wait) => Remedy::Wait,
            _ => Remedy::Reconnect,
        }
    }

    /// The remedy for all `attempts`: if one of them may be temporary, a new attempt soon is worthwhile.
    pub(super) fn remedy_of(attempts: &[Self]) -> Remedy {
        let all_are =
            |remedies: &[Remedy]| attempts.iter().all(|attempt| remedies.contains(&attempt.remedy()));
        if all_are(&[Remedy::Wait]) {
            Remedy::Wait
        } else if all_are(&[Remedy::Wait, Remedy::Configuration]) {
            Remedy::Configuration
        } else {
            Remedy::Reconnect
        }
    }

    /// The kind of the attempt that decides the remedy.
    pub(super) fn kind_of(attempts: &[Self]) -> &'static str {
        let remedy = Self::remedy_of(attempts);
        let deciding = attempts.iter().find(|attempt| attempt.remedy() == remedy);
        deciding.map_or("disconnected", |attempt| attempt.error.kind())
    }

    pub(super) fn list(attempts: &[Self]) -> String {
        let mut list: Vec<_> = attempts.iter().take(SHOWN).map(ToString::to_string).collect();
        if attempts.len() > SHOWN {
            list.push(format!("and {} more", attempts.len() - SHOWN));
        }
        list.join("; ")
    }
}

// ===== impl Step =====

/// The words in front of the error, so that both read as a sentence.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "",
            Self::Tls => "TLS handshake: ",
            Self::Greeting => "before the log-in: ",
            Self::Auth => "AUTH: ",
            Self::Select => "SELECT: ",
            Self::Role => "ROLE: ",
            Self::Ping => "PING: ",
            Self::Write => "the first write: ",
            Self::Call => "CALL: ",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rstest::rstest;

    use super::*;

    fn code(code: &str) -> String {
        code.to_owned()
    }

    fn refused() -> BackendError {
        BackendError::Disconnected(ErrorKind::ConnectionRefused)
    }

    fn wrong_password() -> BackendError {
        BackendError::Denied { code: code("WRONGPASS") }
    }

    fn error(attempts: Vec<(Step, BackendError)>) -> BackendError {
        let attempts = attempts.into_iter().zip(1..);
        let attempts =
            attempts.map(|((step, error), n)| FailedAttempt { server: format!("10.0.0.{n}:1"), step, error });
        BackendError::Connect(attempts.collect())
    }

    #[rstest]
    #[case::nothing_listens(Step::Open, refused(), "disconnected", Remedy::Reconnect)]
    #[case::silent(Step::Ping, BackendError::TimedOut, "timed_out", Remedy::Reconnect)]
    #[case::wrong_password(Step::Auth, wrong_password(), "denied", Remedy::Wait)]
    #[case::unwanted_password(Step::Auth, BackendError::Refused { code: code("ERR") }, "refused", Remedy::Configuration)]
    #[case::no_such_database(Step::Select, BackendError::Refused { code: code("ERR") }, "refused", Remedy::Configuration)]
    #[case::full(Step::Greeting, BackendError::Refused { code: code("ERR") }, "refused", Remedy::Reconnect)]
    #[case::full_without_a_password(Step::Ping, BackendError::Refused { code: code("ERR") }, "refused", Remedy::Reconnect)]
    #[case::busy(Step::Select, BackendError::NotServing { code: code("BUSY") }, "not_serving", Remedy::Reconnect)]
    #[case::no_memory(Step::Ping, BackendError::WritesRefused { code: code("OOM") }, "writes_refused", Remedy::Reconnect)]
    #[case::another_answer(Step::Select, BackendError::Protocol, "protocol", Remedy::Reconnect)]
    fn row_46_a_refused_log_in_has_a_remedy(
        #[case] step: Step,
        #[case] failure: BackendError,
        #[case] kind: &str,
        #[case] remedy: Remedy,
    ) {
        let error = error(vec![(step, failure)]);
        assert_eq!((error.kind(), error.remedy()), (kind, remedy));
    }

    #[test]
    fn row_53_one_address_that_may_come_back_is_tried_again_soon() {
        let error = error(vec![(Step::Auth, wrong_password()), (Step::Open, refused())]);
        assert_eq!((error.kind(), error.remedy()), ("disconnected", Remedy::Reconnect));
        let expected =
            "10.0.0.1:1: AUTH: access refused (WRONGPASS); 10.0.0.2:1: no connection (connection refused)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn only_the_first_failures_are_shown() {
        let error = error(vec![(Step::Open, refused()); 7]);
        assert!(error.to_string().ends_with("10.0.0.4:1: no connection (connection refused); and 3 more"));
    }
}
