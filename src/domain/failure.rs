//! The reason of an answer that is not 200, for the log and the metrics. Callers learn the status, and nothing else.

/// Why a request was not answered with 200: one word for each cause that an operator treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// The head, the body's encoding or its JSON is malformed (400).
    BadRequest,
    /// The caller is not allowed to call (403). The log's field `refused` says why.
    Forbidden,
    /// The path is unknown (404).
    NotFound,
    /// The path has another verb (405).
    WrongVerb,
    /// The head or the body came too slowly (408).
    TooSlow,
    /// The body is too large (413).
    TooLarge,
    /// Fields of the request are at fault (422). The log's `fields` names them.
    Invalid,
    /// The account or the address calls too often (429).
    Rate,
    /// The head is too large (431).
    HeadTooLarge,
    /// A stored value is not a list of strings, or cannot be read (500).
    MalformedValue,
    /// The work on the call panicked outside the actors (500).
    Panic,
    /// An actor panicked over the call, or was restarting or stuck (500, 503).
    Actor,
    /// The persistent store cannot be asked (503).
    StoreDown,
    /// The persistent store did not answer in time, or the call had waited for too long (503).
    Deadline,
    /// Too many calls are in flight (503).
    Overload,
    /// The bodies of other calls use all of their memory (503).
    BodyMemory,
}

/// Why a call is answered 503. A retry may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The persistent store cannot be asked.
    StoreDown,
    /// The persistent store did not answer in time, or the call had waited for too long.
    Deadline,
    /// Too many calls are in flight.
    Overload,
    /// An actor is restarting or stuck.
    Actor,
}

/// Why a call is answered 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A stored value is malformed, or cannot be read.
    MalformedValue,
    /// An actor panicked over the call.
    Actor,
    /// The work on the call panicked outside the actors.
    Panic,
}

// ===== impl FailureReason =====

impl FailureReason {
    /// All reasons, in the order of their statuses.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::WrongVerb,
        Self::TooSlow,
        Self::TooLarge,
        Self::Invalid,
        Self::Rate,
        Self::HeadTooLarge,
        Self::MalformedValue,
        Self::Panic,
        Self::Actor,
        Self::StoreDown,
        Self::Deadline,
        Self::Overload,
        Self::BodyMemory,
    ];

    /// The reason's name in logs, metrics and on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::WrongVerb => "wrong_verb",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Rate => "rate",
            Self::HeadTooLarge => "head_too_large",
            Self::MalformedValue => "malformed_value",
            Self::Panic => "panic",
            Self::Actor => "actor",
            Self::StoreDown => "store_down",
            Self::Deadline => "deadline",
            Self::Overload => "overload",
            Self::BodyMemory => "body_memory",
        }
    }
}

impl From<Outage> for FailureReason {
    fn from(outage: Outage) -> Self {
        match outage {
            Outage::StoreDown => Self::StoreDown,
            Outage::Deadline => Self::Deadline,
            Outage::Overload => Self::Overload,
            Outage::Actor => Self::Actor,
        }
    }
}

impl From<Defect> for FailureReason {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::MalformedValue => Self::MalformedValue,
            Defect::Actor => Self::Actor,
            Defect::Panic => Self::Panic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ALL` is the list of the metric's series, so a reason that is not in it would not be counted.
    #[test]
    fn each_reason_stands_at_its_own_place_in_the_list() {
        for (place, reason) in FailureReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.as_str());
        }
    }
}
