//! A file of calls, streamed: a thread reads lines ahead, a limited number of calls are in flight, and a thread
//! writes their outcomes in the order of the lines.
//!
//! Each queue is limited, so a file of any length takes the same memory, and a slow reader of the output slows the
//! calls down. Calls are separate tasks: waiting for the output does not keep them from being answered.

use std::{
    io::{self, BufReader, Read, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::{StreamExt, stream::FuturesOrdered};
use indicatif::ProgressBar;
use tokio::{
    runtime::Builder,
    select,
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinHandle, spawn, spawn_blocking},
    time::timeout,
};

use super::{line, result::Outcome, summary::Summary};
use crate::{
    cli::{
        failure::{Failure, complain, say},
        input::Input,
        line_fault::LineFault,
        lines::Lines,
        output, progress,
        signals::Signals,
    },
    client::{Call, CallAnswer, Client, ClientError, Identity},
};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// Bad lines that are printed one by one on standard error. The output contains all of them.
const SHOWN: u64 = 20;
/// Outcomes that wait to be written.
const UNWRITTEN: usize = 64;
/// Time to write the finished outcomes after a signal.
const LAST_WORDS: Duration = Duration::from_secs(1);

const CALLS: &str = "calling {bar:30} {msg}";
const CALLS_OF_UNKNOWN: &str = "calling {spinner} {msg}";

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Batch")]
pub(super) struct BatchArgs {
    /// Make the calls in this file, a JSON object a line; - is standard input. Prints an outcome a line, in their
    /// order.
    #[arg(id = "batch", long = "batch", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Calls of a batch in flight at the same time, 1 to 4096.
    #[arg(long, value_name = "N", default_value = "32", value_parser = concurrency)]
    pub(super) concurrency: NonZeroUsize,
}

/// A line's number, and its call.
type Numbered = io::Result<(usize, Result<Call, LineFault>)>;

/// The outcome of a line.
enum Done {
    Bad(usize, LineFault),
    Called { line: usize, request_id: String, outcome: Result<CallAnswer, ClientError>, took: Duration },
}

/// Makes the calls of `file`. Prints a summary at the end, also after a signal.
pub(super) fn run(
    file: &Path,
    concurrency: NonZeroUsize,
    client: Client,
    identity: Option<Identity>,
) -> Result<(), Failure> {
    let Input { name, read, size } = Input::open(file)?;
    let bar = progress::bar(size, if size.is_some() { CALLS } else { CALLS_OF_UNKNOWN });
    let (client, mut summary, begun) = (Arc::new(client), Summary::default(), Instant::now());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let outcome: Result<(), Failure> = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        let lines = read_ahead(bar.wrap_read(read), identity, concurrency.get());
        let (outcomes, mut writing) = write_behind();
        let working = work(lines, &client, concurrency.get(), &outcomes, &mut summary, &bar);
        let stopped = select! {
            worked = working => worked.map_err(|source| Failure::Input { file: name, source }),
            stop = signals.next() => Err(Failure::Stopped { stop, consequence: "; the calls under way were given up" }),
        };
        drop(outcomes);
        let written = match &stopped {
            Ok(()) => (&mut writing).await,
            // The reader of the output may have been stopped as well.
            Err(_) => timeout(LAST_WORDS, &mut writing).await.unwrap_or(Ok(Ok(()))),
        };
        stopped?;
        Ok(written.unwrap_or_else(|died| Err(io::Error::other(died)))?)
    });
    // Does not wait for a read that may never end.
    runtime.shutdown_background();
    bar.finish_and_clear();
    say(summary.told(begun.elapsed(), client.repeats()));
    outcome?;
    match summary.failed() {
        0 => Ok(()),
        failed => Err(Failure::Batch { failed, lines: summary.lines() }),
    }
}

/// Keeps the calls in flight up to the limit, and passes their outcomes on in the order of the lines.
async fn work(
    mut lines: Receiver<Numbered>,
    client: &Arc<Client>,
    concurrency: usize,
    outcomes: &Sender<String>,
    summary: &mut Summary,
    bar: &ProgressBar,
) -> io::Result<()> {
    let mut under_way = FuturesOrdered::<JoinHandle<Done>>::new();
    let mut at_end = false;
    loop {
        let done = select! {
            Some(done) = under_way.next() => done.map_err(io::Error::other)?,
            read = lines.recv(), if !at_end && under_way.len() < concurrency => {
                match read.transpose()? {
                    Some((line, call)) => under_way.push_back(spawn(make(client.clone(), line, call))),
                    None => at_end = true,
                }
                continue;
            }
            else => return Ok(()),
        };
        let text = tell(&done, summary);
        bar.set_message(format!("{} done, {} failed", summary.lines(), summary.failed()));
        if outcomes.send(text).await.is_err() {
            // The writer has ended, and will report the reason.
            return Ok(());
        }
    }
}

async fn make(client: Arc<Client>, line: usize, call: Result<Call, LineFault>) -> Done {
    let call = match call {
        Ok(call) => call,
        Err(fault) => return Done::Bad(line, fault),
    };
    let begun = Instant::now();
    let outcome = client.send(&call).await;
    Done::Called { line, request_id: call.request_id().to_owned(), outcome, took: begun.elapsed() }
}

/// Counts the outcome of a line, and writes it as a line.
fn tell(done: &Done, summary: &mut Summary) -> String {
    let text = match done {
        Done::Bad(line, fault) => {
            summary.bad_line();
            match summary.bad_lines() {
                ..=SHOWN => complain("error", format_args!("line {line}: {fault}")),
                told if told == SHOWN + 1 => complain("error", "and more bad lines, as the output tells"),
                _ => {}
            }
            Outcome::unsent(*line, fault).to_string()
        }
        Done::Called { line, request_id, outcome, took } => {
            summary.answered(outcome, *took);
            let request_id = outcome.is_err().then_some(request_id.as_str());
            Outcome { line: Some(*line), request_id, ..Outcome::of(outcome) }.to_string()
        }
    };
    text + "\n"
}

/// Reads and parses lines in a separate thread, at most `ahead` of them.
fn read_ahead(
    input: impl Read + Send + 'static,
    identity: Option<Identity>,
    ahead: usize,
) -> Receiver<Numbered> {
    let (lines, receiver) = channel(ahead);
    spawn_blocking(move || {
        let mut input = Lines::new(BufReader::with_capacity(BUFFER, input));
        loop {
            let next = match input.next() {
                Ok(None) => return,
                Ok(Some((number, text))) => {
                    let call =
                        text.map_err(LineFault::from).and_then(|text| line::parse(text, identity.as_ref()));
                    Ok((number, call))
                }
                Err(error) => Err(error),
            };
            let is_last = next.is_err();
            if lines.blocking_send(next).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Writes to standard output in a separate thread, and flushes when nothing more is waiting.
fn write_behind() -> (Sender<String>, JoinHandle<io::Result<()>>) {
    let (sender, mut outcomes) = channel::<String>(UNWRITTEN);
    let writing = spawn_blocking(move || {
        let mut output = output::buffered();
        while let Some(text) = outcomes.blocking_recv() {
            output.write_all(text.as_bytes())?;
            if outcomes.is_empty() {
                output.flush()?;
            }
        }
        output.flush()
    });
    (sender, writing)
}

fn concurrency(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= 4096).ok_or("must be from 1 to 4096")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    /// Lines without end; counts the bytes that were taken of them.
    struct Endless(Arc<AtomicU64>);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'\n');
            for (line, place) in [b"{}\n"].iter().cycle().zip(buffer.chunks_exact_mut(3)) {
                place.copy_from_slice(*line);
            }
            self.0.fetch_add(buffer.len() as u64, SeqCst);
            Ok(buffer.len())
        }
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_the_bound() {
        let read = Arc::<AtomicU64>::default();
        let mut lines = read_ahead(Endless(read.clone()), None, 4);
        for number in 1..=1_000 {
            let (line, call) = lines.recv().await.unwrap().unwrap();
            assert_eq!((line, call.unwrap_err()), (number, LineFault::Missing("method")));
        }
        assert!(lines.len() <= 4);
        assert!(read.load(SeqCst) <= 2 * BUFFER as u64);
    }
}
