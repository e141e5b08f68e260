//! `interests delete`: deletes clients' interests, all of them or none; on a cluster client by client.

use std::{
    collections::BTreeSet,
    io::BufReader,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{StorePlace, batch::SHOWN, count, writing::Writing};
use crate::{
    cli::{
        audit,
        failure::{Failure, complain, say},
        input::Input,
        line_fault::LineFault,
        lines::Lines,
        signals::Gate,
    },
    domain::ClientId,
    store::{Changes, Purpose, Stored},
};

/// The clients to delete.
#[derive(Debug, Args)]
#[command(after_help = "\
Either all of the clients are deleted or none. A service that runs on the same store answers [] for them from then on. The
embedded file is written anew, so that the deleted interests are not in it any more.

On a Redis Cluster this needs --piecewise, and is not all or nothing: it ends at the first error, and says how many
clients were deleted. Running it again is safe.")]
pub(in crate::cli) struct DeleteArgs {
    /// Ids of clients.
    #[arg(required_unless_present = "file", allow_negative_numbers = true, value_name = "ID")]
    ids: Vec<i64>,
    /// A file with an id on each line; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Delete client by client from a Redis Cluster, which has no transaction over all clients.
    #[arg(long)]
    piecewise: bool,
}

pub(super) fn run(args: &DeleteArgs, place: &StorePlace, gate: Gate) -> Result<(), Failure> {
    place.allows(args.piecewise)?;
    let ids = match &args.file {
        Some(file) => read(file)?,
        None => args.ids.iter().copied().map(ClientId).collect(),
    };
    let keys: Vec<_> = ids.iter().map(ClientId::key).collect();
    let store = place.open(Purpose::Change)?;
    let failed = |source| Failure::Read { url: place.url.to_string(), source };
    let found = store.get_many(&keys).map_err(failed)?;
    let is_stored = |(key, stored): (String, Stored)| (stored != Stored::Nothing).then_some(key);
    let delete: Vec<_> = keys.into_iter().zip(found).filter_map(is_stored).collect();
    let unknown = ids.len() - delete.len();
    if !delete.is_empty() {
        let watch = Writing::new(delete.len(), gate);
        let deleted = store.change(&Changes { put: &[], delete: &delete }, &watch);
        drop((watch, store));
        deleted.map_err(|source| Failure::Write { url: place.url.to_string(), source })?;
        audit::deleted(&place.url, delete.len());
        let verified = place.open(Purpose::Read).and_then(|store| store.get_many(&delete).map_err(failed));
        let left = verified.map_err(|source| Failure::Unverified {
            done: format!("deleted {}", count(delete.len(), "client")),
            source: Box::new(source),
        })?;
        let left = left.into_iter().filter(|stored| *stored != Stored::Nothing).count();
        if left > 0 {
            return Err(Failure::WrittenMeanwhile(count(left, "deleted client")));
        }
    }
    let but = if unknown > 0 { format!(", {unknown} were not stored") } else { String::new() };
    say(format_args!("deleted {}{but}", count(delete.len(), "client")));
    Ok(())
}

/// The ids of a file, an id on each line. Blank lines do not count.
fn read(file: &Path) -> Result<BTreeSet<ClientId>, Failure> {
    let Input { name, read, .. } = Input::open(file)?;
    let of_file = |source| Failure::Input { file: name.clone(), source };
    let mut lines = Lines::new(BufReader::new(read));
    let (mut ids, mut bad) = (BTreeSet::new(), 0);
    while let Some((number, line)) = lines.next().map_err(of_file)? {
        match line.map_err(LineFault::from).and_then(parse) {
            Ok(id) => _ = ids.insert(id),
            Err(fault) => {
                bad += 1;
                if bad <= SHOWN {
                    complain("error", format_args!("line {number}: {fault}"));
                }
            }
        }
    }
    if bad > SHOWN {
        complain("error", format_args!("and {} more", bad - SHOWN));
    }
    if bad > 0 {
        return Err(Failure::BadLines { what: "deleted", lines: count(bad, "bad line") });
    }
    Ok(ids)
}

fn parse(line: &str) -> Result<ClientId, LineFault> {
    let number: i64 = line.trim().parse().map_err(|_| LineFault::Id)?;
    // `parse` alone would accept `+1` and `007`.
    if number.to_string() == line.trim() { Ok(ClientId(number)) } else { Err(LineFault::Id) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("7", Ok(7))]
    #[case::negative("-7", Ok(-7))]
    #[case::blanks(" 7\t", Ok(7))]
    #[case::plus("+7", Err(LineFault::Id))]
    #[case::zero_first("07", Err(LineFault::Id))]
    #[case::too_large("9223372036854775808", Err(LineFault::Id))]
    #[case::two("7 8", Err(LineFault::Id))]
    #[case::json("{\"id\": 7}", Err(LineFault::Id))]
    fn a_line_is_an_id(#[case] line: &str, #[case] id: Result<i64, LineFault>) {
        assert_eq!(parse(line), id.map(ClientId));
    }
}
