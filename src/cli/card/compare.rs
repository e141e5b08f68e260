//! `card compare`: computes the scores of a batch of calls with two cards, and prints the changes.
//!
//! The file is that of `call --batch`. It is read line by line, so a file of any length takes the same memory.

use std::{
    fmt,
    io::{self, BufReader, Read},
    path::PathBuf,
};

use clap::Args;

use super::{FormatArgs, changes::Changes, person, read, rules};
use crate::{
    cli::{
        call::line,
        failure::{Failure, complain},
        input::Input,
        line_fault::LineFault,
        lines::Lines,
        output, progress,
        signals::until_signal,
    },
    config::Settings,
    domain::{Card, Method, Rules},
};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// Bad lines, and invalid calls, that are printed one by one on standard error.
const SHOWN: u64 = 20;

const COMPARING: &str = "comparing {bar:30} {bytes} of {total_bytes}";
const COMPARING_UNKNOWN: &str = "comparing {spinner} {bytes}";

/// The cards, and the calls.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    /// The old card's file, or built-in.
    old: PathBuf,
    /// The new card's file, or built-in.
    new: PathBuf,
    /// Score the persons in this file, which `call --batch` reads as well; - is standard input. Calls of the admin and of
    /// other methods are skipped.
    #[arg(long, value_name = "FILE")]
    batch: PathBuf,
    #[command(flatten)]
    format: FormatArgs,
}

/// Why a line does not count.
enum Skipped {
    Bad(LineFault),
    OtherMethod,
    Admin,
    /// The service would reject the call.
    Invalid(String),
}

pub(super) fn run(args: CompareArgs, settings: &Settings) -> Result<(), Failure> {
    let [old, new] = read([&args.old, &args.new])?;
    let (rules, admin) = (rules(settings)?, settings.auth.admin_login.clone());
    until_signal(move |_| {
        let Input { name, read, size } = Input::open(&args.batch)?;
        let bar = progress::bar(size, if size.is_some() { COMPARING } else { COMPARING_UNKNOWN });
        let changes = compare(&old, &new, bar.wrap_read(read), &rules, &admin);
        bar.finish_and_clear();
        let changes = changes.map_err(|source| Failure::Input { file: name, source })?;
        let text =
            if args.format.is_json() { changes.to_json(&old, &new) } else { changes.to_text(&old, &new) };
        output::print(&text)?;
        match changes.bad_lines {
            0 => Ok(()),
            bad => Err(Failure::NotCalls { bad, lines: changes.lines() }),
        }
    })
}

fn compare(old: &Card, new: &Card, input: impl Read, rules: &Rules, admin: &str) -> io::Result<Changes> {
    let mut lines = Lines::new(BufReader::with_capacity(BUFFER, input));
    let mut changes = Changes::between(old, new);
    while let Some((number, text)) = lines.next()? {
        let scores = text.map_err(|bad| Skipped::Bad(bad.into())).and_then(|text| {
            let line::Fields { login, method, arguments, .. } = line::fields(text).map_err(Skipped::Bad)?;
            match method {
                Method::ClientsInterests => return Err(Skipped::OtherMethod),
                Method::OnlineScore if login.is_some_and(|login| login == admin) => {
                    return Err(Skipped::Admin);
                }
                Method::OnlineScore => {}
            }
            let person = person(arguments, rules).map_err(Skipped::Invalid)?;
            Ok((old.score(&person, rules.today), new.score(&person, rules.today)))
        });
        match scores {
            Ok((old, new)) => changes.add(old, new),
            Err(Skipped::Bad(fault)) => {
                changes.bad_lines += 1;
                report("error", changes.bad_lines, number, &fault);
            }
            Err(Skipped::Invalid(faults)) => {
                changes.invalid += 1;
                report("skipped", changes.invalid, number, &faults);
            }
            Err(Skipped::OtherMethod) => changes.other_methods += 1,
            Err(Skipped::Admin) => changes.admin += 1,
        }
    }
    Ok(changes)
}

/// Prints the fault of a line, the `count`th of its kind, unless many have been printed.
fn report(kind: &str, count: u64, number: usize, fault: &dyn fmt::Display) {
    match count {
        ..=SHOWN => complain(kind, format_args!("line {number}: {fault}")),
        count if count == SHOWN + 1 => complain(kind, "and more lines, which are only counted"),
        _ => {}
    }
}
