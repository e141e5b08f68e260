//! `interests import`: writes a whole file into the store, or nothing; into a cluster client by client. With `--replace` the store
//! has exactly the clients of the file afterwards.
//!
//! The file is read to its end before the store is opened, so a bad line costs nothing. It is held in memory
//! meanwhile: standard input cannot be read twice, and a transaction that waits for a slow file would keep others
//! from writing.

use std::{
    collections::HashSet,
    io::BufReader,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    StorePlace,
    batch::{Batch, Format},
    count,
    record::{self, PREFIX},
    writing::Writing,
};
use crate::{
    cli::{
        audit,
        failure::{Failure, complain, say},
        input::Input,
        progress,
        signals::Gate,
    },
    store::{Bulk, Changes, Purpose},
};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

const BYTES: &str = "reading {bar:30} {bytes}/{total_bytes}";
const BYTES_OF_UNKNOWN: &str = "reading {spinner} {bytes}";

/// The file to import, and its format.
#[derive(Debug, Args)]
#[command(after_help = "\
NDJSON, a line for each client:
    {\"id\": 1, \"interests\": [\"books\", \"hi-tech\"]}
    {\"id\": 2, \"interests\": []}

CSV, after the header (which must be there) a row for each interest of each client:
    id,interests
    1,books
    1,hi-tech
    2,
Rows with the same id add up; an empty cell is a client without interests. A row is one line.

What is stored for a client is replaced; clients that the file does not name stay as they are, or are deleted with
--replace. The file is held in memory until it is written. A service that runs on the same store sees all of it at once.

On a Redis Cluster an import needs --piecewise, and is not all or nothing: it ends at the first error, and says how many
clients were written. Running it again is safe.")]
pub(in crate::cli) struct ImportArgs {
    /// The file; - is standard input.
    file: PathBuf,
    /// The format of the file [default: by the extension: .ndjson, .jsonl or .csv; ndjson for standard input]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Leave bad lines out and import the others, instead of importing nothing.
    #[arg(long)]
    skip_bad: bool,
    /// Write client by client into a Redis Cluster, which has no transaction over all clients.
    #[arg(long)]
    piecewise: bool,
    /// Delete all clients that the file does not name, so that the store has exactly those of the file.
    #[arg(long, conflicts_with = "skip_bad")]
    replace: bool,
    /// With --replace: delete even if that is more than half of the stored clients.
    #[arg(long, requires = "replace")]
    yes: bool,
}

pub(super) fn run(args: &ImportArgs, place: &StorePlace, gate: Gate) -> Result<(), Failure> {
    place.allows(args.piecewise)?;
    let batch = read(args)?;
    let skip = args.skip_bad && !batch.headless;
    report(&batch, if skip { "skipped" } else { "error" });
    let bad = count(batch.bad_lines, "bad line");
    if batch.bad_lines > 0 && !skip {
        return Err(Failure::BadLines { what: "imported", lines: bad });
    }
    let skipped = batch.bad_lines > 0;
    let entries = batch.into_entries();

    let store = place.open(Purpose::Write)?;
    let delete = if args.replace { others(&*store, &entries, args.yes, place)? } else { Vec::new() };
    let watch = Writing::new(entries.len() + delete.len(), gate);
    let written = store.change(&Changes { put: &entries, delete: &delete }, &watch);
    drop((watch, store));
    written.map_err(|source| Failure::Write { url: place.url.to_string(), source })?;
    if args.replace {
        audit::replaced(&place.url, entries.len(), delete.len());
    } else {
        audit::imported(&place.url, entries.len());
    }
    let clients = count(entries.len(), "client");
    if args.replace {
        let verified = place.open(Purpose::Read).and_then(|store| others(&*store, &entries, true, place));
        let left = verified.map_err(|source| Failure::Unverified {
            done: format!("imported {clients}, deleted {}", delete.len()),
            source: Box::new(source),
        })?;
        if !left.is_empty() {
            return Err(Failure::WrittenMeanwhile(count(left.len(), "client")));
        }
    }
    let mut but = if skipped { format!(", skipped {bad}") } else { String::new() };
    if args.replace {
        but = format!(", deleted {}", delete.len());
    }
    say(format_args!("imported {clients}{but}"));
    Ok(())
}

/// The keys of all stored clients that `entries` does not have.
///
/// # Errors
///
/// If they are more than half of the stored ones, which is rather a truncated file than a wish, unless `is_sure`.
fn others(
    store: &dyn Bulk,
    entries: &[(String, Vec<u8>)],
    is_sure: bool,
    place: &StorePlace,
) -> Result<Vec<String>, Failure> {
    let named: HashSet<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
    let (mut stored, mut others) = (0, Vec::new());
    let visited = store.for_each(PREFIX, &mut |key, _| {
        if record::client(key).is_some() {
            stored += 1;
            if !named.contains(key) {
                others.push(key.to_owned());
            }
        }
        ControlFlow::Continue(())
    });
    visited.map_err(|source| Failure::Read { url: place.url.to_string(), source })?;
    if !is_sure && others.len() * 2 > stored {
        return Err(Failure::Usage(format!(
            "this would delete {} of {} stored clients, and is refused in case the file is not whole; say --yes if it is right",
            others.len(),
            stored
        )));
    }
    Ok(others)
}

fn read(args: &ImportArgs) -> Result<Batch, Failure> {
    let by_ending = if args.file == Path::new("-") { Some(Format::Ndjson) } else { Format::of(&args.file) };
    let format = args.format.or(by_ending).ok_or_else(|| {
        let file = args.file.display();
        Failure::Usage(format!("{file}: the ending does not tell the format; say it with --format"))
    })?;
    let Input { name, read, size } = Input::open(&args.file)?;
    let input = BufReader::with_capacity(
        BUFFER,
        progress::bar(size, if size.is_some() { BYTES } else { BYTES_OF_UNKNOWN }).wrap_read(read),
    );
    Batch::read(input, format).map_err(|source| Failure::Input { file: name, source })
}

fn report(batch: &Batch, kind: &str) {
    for (line, fault) in &batch.faults {
        complain(kind, format_args!("line {line}: {fault}"));
    }
    let more = batch.bad_lines - batch.faults.len();
    if more > 0 {
        complain(kind, format_args!("and {more} more"));
    }
}
