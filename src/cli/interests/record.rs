//! A client's line of NDJSON, and its value in the store.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    domain::{ClientId, Interests, MalformedInterests},
    store::Stored,
};

/// The prefix of the keys of interests.
pub(super) const PREFIX: &str = "i:";

/// The reason why a stored value cannot be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the stored value is {0}")]
    Json(#[from] MalformedInterests),
    #[error("the stored value is of another kind than a string")]
    Kind,
}

#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    interests: &'a Interests,
}

/// The client of this key; `None` for keys that the service would never look up, such as `i:01`.
pub(super) fn client(key: &str) -> Option<ClientId> {
    let id = ClientId(key.strip_prefix(PREFIX)?.parse().ok()?);
    (id.key() == key).then_some(id)
}

/// The interests in `stored`. A missing value means no interests, as for the service.
pub(super) fn interests(stored: &Stored) -> Result<Interests, Malformed> {
    match stored {
        Stored::Nothing => Ok(Interests::default()),
        Stored::Value(json) => Ok(Interests::from_json(json)?),
        Stored::WrongKind => Err(Malformed::Kind),
    }
}

/// Writes `{"id":1,"interests":["books"]}` and the end of the line.
pub(super) fn write(output: &mut impl Write, id: ClientId, interests: &Interests) -> io::Result<()> {
    serde_json::to_writer(&mut *output, &Line { id: id.0, interests })?;
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("i:1", Some(1))]
    #[case::negative("i:-5", Some(-5))]
    #[case::largest("i:9223372036854775807", Some(i64::MAX))]
    #[case::too_large("i:9223372036854775808", None)]
    #[case::leading_zero("i:01", None)]
    #[case::plus("i:+1", None)]
    #[case::minus_zero("i:-0", None)]
    #[case::text("i:x", None)]
    #[case::nothing("i:", None)]
    #[case::other_prefix("uid:1", None)]
    fn only_a_key_that_the_service_would_use_is_a_clients(#[case] key: &str, #[case] id: Option<i64>) {
        assert_eq!(client(key), id.map(ClientId));
    }

    proptest! {
        #[test]
        fn every_clients_key_is_known_again(id: i64) {
            prop_assert_eq!(client(&ClientId(id).key()), Some(ClientId(id)));
        }
    }
}
