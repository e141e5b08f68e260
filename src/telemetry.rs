//! Sets up the log, and the export of traces.
//!
//! Lines go to standard output through a bounded queue and a thread of their own: a blocked pipe or a full disk costs
//! lines, never a request its time. Spans are made only if they are exported, so that they cost nothing otherwise.

mod gathering;
mod json;
mod lost_lines;
pub mod settings;
mod traces;

use std::{
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

pub use self::lost_lines::LostLines;
use self::{
    gathering::Gathering,
    json::JsonLines,
    lost_lines::Unwritten,
    settings::{LogFormat, LogSettings, TraceSettings},
    traces::Traces,
};

/// Lines that may wait to be written. More are dropped.
const QUEUED_LINES: usize = 16_384;

/// How long the lines after a write may gather for the next one.
const GATHERING: Duration = Duration::from_millis(5);

/// How long the end of the process waits for what is queued to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of this process, and the export of its spans. When it is dropped, what is queued is sent and written, if somebody
/// takes it.
pub struct Log {
    /// Dropped before `writing` is, which it may still have something to say to.
    traces: Option<Traces>,
    lost: LostLines,
    filter: reload::Handle<Targets, Registry>,
    writing: Option<WorkerGuard>,
}

/// Starts the log of this process, and the export of its spans if they are to be exported.
///
/// Panics are logged with their place and without their message, which could hold personal data.
///
/// # Errors
///
/// If the system lacks what is needed: another descriptor for standard output, a thread for the export. A collector that is
/// not there is no error.
pub fn init(settings: &LogSettings, trace: &TraceSettings) -> io::Result<Log> {
    let traces = trace.endpoint.as_ref().map(|endpoint| Traces::start(endpoint, trace)).transpose()?;
    let unwritten = Unwritten::default();
    // Not `stdout()` itself, which writes each line by itself.
    let out = File::from(stdout().as_fd().try_clone_to_owned()?);
    let out = Gathering::new(out, GATHERING, unwritten.clone());
    let (writer, writing) = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).finish(out);
    let lost = LostLines::new(writer.error_counter(), unwritten);
    let (subscriber, filter) = subscriber(settings, writer, stdout().is_terminal(), traces.as_ref());
    subscriber.init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(Log { traces, lost, filter, writing: Some(writing) })
}

/// What becomes of events and spans: lines for `writer`, and spans for the collector if there is one. And a handle to what
/// is logged.
fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    on_terminal: bool,
    traces: Option<&Traces>,
) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let format = settings.format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let (level, filter) = reload::Layer::new(from(settings.level));
    // Fields stand in the lines themselves, so that each can be read alone; spans would repeat them.
    let lines = match format {
        LogFormat::Json => JsonLines(writer).boxed(),
        LogFormat::Pretty => fmt::layer().with_writer(writer).compact().with_ansi(on_terminal).boxed(),
    };
    let wanted = dynamic_filter_fn(|what, _| what.is_event() && !is_expected(what)).with_callsite_filter(
        // Said once and for all, so that a span that nobody sees costs next to nothing.
        |what| if what.is_event() { Interest::sometimes() } else { Interest::never() },
    );
    // Our own spans only, and no events: those are for the log.
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
    // A list and not one `with` after the other: an `Option` that is none would count as a layer that wants everything.
    let lines = lines.with_filter(level.and(wanted)).boxed();
    (registry().with([lines].into_iter().chain(spans).collect::<Vec<_>>()), filter)
}

/// What is logged from `level` on.
fn from(level: Level) -> Targets {
    // What actix says at "info" about its threads is of no use to operators.
    Targets::new()
        .with_default(level)
        .with_target("actix_server", level.min(Level::WARN))
        // It reports clients' faults as errors of its own, with their bytes. `http` counts and logs those.
        .with_target("actix_http", LevelFilter::OFF)
}

/// From now on it is no news that the listener cannot be accepted from: the service has closed it.
pub fn expect_no_accepts() {
    ACCEPTS_EXPECTED.store(false, Relaxed);
}

/// One for the process, like the log that it is about.
static ACCEPTS_EXPECTED: AtomicBool = AtomicBool::new(true);

fn is_expected(what: &Metadata<'_>) -> bool {
    what.target() == "actix_server::accept" && !ACCEPTS_EXPECTED.load(Relaxed)
}

// ===== impl Log =====

impl Log {
    /// The count of lines that never got out.
    pub fn lost_lines(&self) -> LostLines {
        self.lost.clone()
    }

    /// Has the end of the process not wait for the collector: it is to end at once.
    pub fn leave_spans_behind(&mut self) {
        self.traces.iter_mut().for_each(Traces::leave_behind);
    }

    /// The count of spans that never got out, if any are to.
    pub fn lost_spans(&self) -> Option<IntCounter> {
        self.traces.as_ref().map(Traces::lost_spans)
    }

    /// Logs from `level` on.
    pub fn set_level(&self, level: Level) {
        // Fails only if there is no log any more.
        _ = self.filter.reload(from(level));
    }
}

impl Drop for Log {
    /// If nobody reads standard output and the queue is full, the guard says so on standard output, and waits for ever. So
    /// it is left behind on a thread of its own.
    fn drop(&mut self) {
        drop(self.traces.take());
        let (done, waiting) = mpsc::channel::<()>();
        let writing = self.writing.take();
        thread::spawn(move || {
            drop(writing);
            drop(done);
        });
        // Resolves by an error either way: it is done, or it takes too long.
        _ = waiting.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info_span, subscriber::with_default};

    use super::*;
    use crate::testing;

    /// Whether there are spans and debug lines.
    ///
    /// Of a span this subscriber is asked itself. `is_disabled` would tell what any of the process wants: other tests have
    /// theirs.
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
    fn there_are_spans_if_they_are_exported_whatever_the_logs_level() {
        let settings =
            TraceSettings { endpoint: None, sample_ratio: 1.0, timeout: Duration::from_millis(1), queue: 1 };
        let traces = Traces::start(&"http://127.0.0.1:1".parse().unwrap(), &settings).unwrap();
        for level in [Level::ERROR, Level::INFO, Level::TRACE] {
            let has_debug = level > Level::INFO;
            assert_eq!(wanted(level, None), (false, has_debug), "{level}");
            assert_eq!(wanted(level, Some(&traces)), (true, has_debug), "{level}");
        }
    }
}
