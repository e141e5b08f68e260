//! Sets up the log, and the export of traces.
//!
//! Lines go to standard output through a bounded queue and a thread of their own: a blocked pipe or a full disk costs
//! lines, and never delays a request. Spans are only created if they are exported, so that they cost nothing otherwise.

mod batching_writer;
mod dropped_lines;
mod json;
pub mod settings;
mod traces;

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, IsTerminal, stdout},
    os::fd::AsFd,
    panic,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use prometheus::IntCounter;
use tracing::{Level, Metadata, Subscriber, subscriber::Interest};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets, dynamic_filter_fn, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry, reload,
    util::SubscriberInitExt,
};

pub use self::dropped_lines::DroppedLines;
use self::{
    batching_writer::BatchingWriter,
    dropped_lines::Unwritten,
    json::JsonLines,
    settings::{LogFormat, LogSettings, TraceSettings},
    traces::Traces,
};
use crate::resolver::Resolver;

/// The target of operators' acts. Its lines are logged even where `log.level` would hide them.
pub const AUDIT: &str = "scoring_api::audit";

/// Maximum lines that wait to be written. Further lines are dropped.
const QUEUED_LINES: usize = 16_384;

/// How long lines are collected after a write, for the next write.
const GATHERING: Duration = Duration::from_millis(5);

/// How long the end of the process waits until the queued lines are written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of this process, and the export of its spans. Dropping it writes the queued lines and sends the queued
/// spans, if there is a reader or a collector for them.
pub struct Log {
    /// Dropped before `writing`, because it may still log to it.
    traces: Option<Traces>,
    lost: DroppedLines,
    filter: reload::Handle<Targets, Registry>,
    writing: Option<WorkerGuard>,
    format: LogFormat,
}

/// Starts the log of this process, and the export of its spans if they are to be exported.
///
/// Panics are logged with their place and without their message, which could hold personal data.
///
/// # Errors
///
/// If the system does not provide another descriptor for standard output, or a thread for the export. An unreachable
/// collector is not an error.
pub fn init(settings: &LogSettings, trace: &TraceSettings) -> io::Result<Log> {
    let start = |endpoint| Traces::start(endpoint, trace, Resolver::system());
    let traces = trace.endpoint.as_ref().map(start).transpose()?;
    let unwritten = Unwritten::default();
    // Not `stdout()` itself, which writes each line separately.
    let out = File::from(stdout().as_fd().try_clone_to_owned()?);
    let out = BatchingWriter::new(out, GATHERING, unwritten.clone());
    let (writer, writing) = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).finish(out);
    let lost = DroppedLines::new(writer.error_counter(), unwritten);
    let on_terminal = stdout().is_terminal();
    let (subscriber, filter) = subscriber(settings, writer, on_terminal, traces.as_ref());
    subscriber.init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
        // For the report of an actor that is restarted for it.
        actix_supervise::note_panic(panic);
    }));
    Ok(Log { traces, lost, filter, writing: Some(writing), format: format(settings, on_terminal) })
}

/// Writes the lines of [`AUDIT`] to standard error, for a subcommand: at a terminal for people, else as `settings` say.
pub fn init_audit(settings: &LogSettings) {
    let on_terminal = io::stderr().is_terminal();
    let lines = match format(settings, on_terminal) {
        LogFormat::Json => JsonLines(io::stderr).boxed(),
        LogFormat::Pretty => {
            fmt::layer().with_writer(io::stderr).compact().with_ansi(colours(on_terminal)).boxed()
        }
    };
    let acts = Targets::new().with_target(AUDIT, Level::INFO);
    // Fails only if there is a log already.
    _ = registry().with(lines.with_filter(acts)).try_init();
}

/// Turns events into lines for `writer`, and spans into spans for the collector if there is one. Also returns a handle
/// to change the filter of the log.
fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    on_terminal: bool,
    traces: Option<&Traces>,
) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (level, filter) = reload::Layer::new(from(settings.level));
    // Each line contains its own fields and can be read alone; spans would repeat them.
    let lines = match format(settings, on_terminal) {
        LogFormat::Json => JsonLines(writer).boxed(),
        LogFormat::Pretty => {
            fmt::layer().with_writer(writer).compact().with_ansi(colours(on_terminal)).boxed()
        }
    };
    let wanted = dynamic_filter_fn(|what, _| what.is_event() && !is_expected(what)).with_callsite_filter(
        // Decided once per callsite, so that a span without a subscriber costs next to nothing.
        |what| if what.is_event() { Interest::sometimes() } else { Interest::never() },
    );
    // Our own spans only, and no events: those belong in the log.
    let seen = filter_fn(|what| what.is_span() && what.target().starts_with(env!("CARGO_CRATE_NAME")));
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(seen)
            .boxed()
    });
    // A list instead of several `with` calls: an `Option` that is `None` would count as a layer that enables
    // everything.
    let lines = lines.with_filter(level.and(wanted)).boxed();
    (registry().with([lines].into_iter().chain(spans).collect::<Vec<_>>()), filter)
}

/// The format in effect: for people at a terminal, unless the settings say otherwise.
fn format(settings: &LogSettings, on_terminal: bool) -> LogFormat {
    settings.format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json })
}

/// Whether to use colours: at a terminal, unless `NO_COLOR` is set and not empty (<https://no-color.org>).
pub fn colours(on_terminal: bool) -> bool {
    wants_colours(on_terminal, env::var_os("NO_COLOR").as_deref())
}

fn wants_colours(on_terminal: bool, no_color: Option<&OsStr>) -> bool {
    on_terminal && no_color.is_none_or(OsStr::is_empty)
}

/// The filter for events from `level` on.
fn from(level: Level) -> Targets {
    // actix's "info" events about its threads are of no use to operators.
    Targets::new()
        .with_default(level)
        .with_target(AUDIT, level.max(Level::INFO))
        .with_target("actix_server", level.min(Level::WARN))
        // It reports clients' faults as errors of its own, with their bytes. `http` counts and logs them.
        .with_target("actix_http", LevelFilter::OFF)
}

/// Stops logging accept errors of the listener, because the service has closed it itself.
pub fn expect_no_accepts() {
    ACCEPTS_EXPECTED.store(false, Relaxed);
}

/// One for the process, like the log.
static ACCEPTS_EXPECTED: AtomicBool = AtomicBool::new(true);

fn is_expected(what: &Metadata<'_>) -> bool {
    what.target() == "actix_server::accept" && !ACCEPTS_EXPECTED.load(Relaxed)
}

// ===== impl Log =====

impl Log {
    /// Whether people read the log, rather than machines.
    pub fn is_for_people(&self) -> bool {
        self.format == LogFormat::Pretty
    }

    /// The count of lost lines.
    pub fn dropped_lines(&self) -> DroppedLines {
        self.lost.clone()
    }

    /// Makes the end of the process not wait for the collector, so that it ends at once.
    pub fn leave_spans_behind(&mut self) {
        self.traces.iter_mut().for_each(Traces::leave_behind);
    }

    /// The count of lost spans, if spans are exported.
    pub fn lost_spans(&self) -> Option<IntCounter> {
        self.traces.as_ref().map(Traces::lost_spans)
    }

    /// Logs from `level` on.
    pub fn set_level(&self, level: Level) {
        // Fails only if the log no longer exists.
        _ = self.filter.reload(from(level));
    }
}

impl Drop for Log {
    /// If standard output has no reader and the queue is full, the guard prints an error on standard output, and waits
    /// for ever. So it is dropped on a thread of its own, which is not joined.
    fn drop(&mut self) {
        drop(self.traces.take());
        let (done, waiting) = mpsc::channel::<()>();
        let writing = self.writing.take();
        thread::spawn(move || {
            drop(writing);
            drop(done);
        });
        // Ends with an error in both cases: the thread is done, or it takes too long.
        _ = waiting.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tracing::{info_span, subscriber::with_default};

    use super::*;
    use crate::testing;

    #[rstest]
    #[case::at_a_terminal(true, None, true)]
    #[case::not_at_a_terminal(false, None, false)]
    #[case::unwanted(true, Some("1"), false)]
    #[case::set_to_nothing(true, Some(""), true)]
    fn colours_are_for_terminals_without_no_color(
        #[case] on_terminal: bool,
        #[case] no_color: Option<&str>,
        #[case] expected: bool,
    ) {
        assert_eq!(wants_colours(on_terminal, no_color.map(OsStr::new)), expected);
    }

    /// Whether spans and debug lines are enabled.
    ///
    /// For spans, this subscriber itself is asked. `is_disabled` would tell whether any subscriber of the process
    /// enables them, and other tests have their own.
    fn wanted(level: Level, traces: Option<&Traces>) -> (bool, bool) {
        let log = testing::Log::default();
        let writer = log.clone();
        let settings = LogSettings { format: None, level };
        let (subscriber, _filter) = subscriber(&settings, move || writer.clone(), false, traces);
        let span = info_span!("a span");
        let has_spans = !subscriber
            .register_callsite(
                span.metadata().expect("tracing keeps it, by its feature `log`, which actix asks for"),
            )
            .is_never();
        with_default(subscriber, || tracing::debug!("a line"));
        (has_spans, log.lines_with("a line") == 1)
    }

    #[test]
    fn exported_spans_do_not_depend_on_the_logs_level() {
        let settings =
            TraceSettings { endpoint: None, sample_ratio: 1.0, timeout: Duration::from_millis(1), queue: 1 };
        let endpoint = "http://127.0.0.1:1".parse().unwrap();
        let traces = Traces::start(&endpoint, &settings, Resolver::system()).unwrap();
        for level in [Level::ERROR, Level::INFO, Level::TRACE] {
            let has_debug = level > Level::INFO;
            assert_eq!(wanted(level, None), (false, has_debug), "{level}");
            assert_eq!(wanted(level, Some(&traces)), (true, has_debug), "{level}");
        }
    }
}
