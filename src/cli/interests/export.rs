//! `interests export`: all clients' interests on standard output, a page at a time.

use std::{io::Write, ops::ControlFlow};

use super::{
    StorePlace,
    record::{self, PREFIX},
};
use crate::{
    cli::{
        failure::{Failure, complain},
        output,
    },
    store::Purpose,
};

pub(super) fn run(place: &StorePlace) -> Result<(), Failure> {
    let store = place.open(Purpose::Read)?;
    let mut output = output::buffered();
    let mut malformed = 0;
    let mut written = Ok(());
    store
        .for_each(PREFIX, &mut |key, stored| {
            let Some(id) = record::client(key) else {
                return ControlFlow::Continue(());
            };
            match record::interests(&stored) {
                Ok(interests) => written = record::write(&mut output, id, &interests),
                Err(why) => {
                    malformed += 1;
                    complain("error", format_args!("client {id}: {why}"));
                }
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .map_err(|source| Failure::Read { url: place.url.to_string(), source })?;
    written?;
    output.flush()?;
    if malformed > 0 { Err(Failure::Malformed(malformed)) } else { Ok(()) }
}
