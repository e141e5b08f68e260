//! `interests get`: prints some clients' interests from the store.

use std::io::Write;

use clap::Args;

use super::{StorePlace, record};
use crate::{
    cli::{
        failure::{Failure, complain},
        output,
    },
    domain::ClientId,
    store::Purpose,
};

/// The clients.
#[derive(Debug, Args)]
pub(in crate::cli) struct GetArgs {
    /// Ids of clients. A client without stored interests has none.
    #[arg(required = true, allow_negative_numbers = true, value_name = "ID")]
    ids: Vec<i64>,
}

pub(super) fn run(args: &GetArgs, place: &StorePlace) -> Result<(), Failure> {
    let ids: Vec<_> = args.ids.iter().copied().map(ClientId).collect();
    let keys: Vec<_> = ids.iter().map(ClientId::key).collect();
    let store = place.open(Purpose::Read)?;
    let found =
        store.get_many(&keys).map_err(|source| Failure::Read { url: place.url.to_string(), source })?;
    let mut output = output::buffered();
    let mut malformed = 0;
    for (id, stored) in ids.into_iter().zip(found) {
        match record::interests(&stored) {
            Ok(interests) => record::write(&mut output, id, &interests)?,
            Err(why) => {
                malformed += 1;
                complain("error", format_args!("client {id}: {why}"));
            }
        }
    }
    output.flush()?;
    if malformed > 0 { Err(Failure::Malformed(malformed)) } else { Ok(()) }
}
