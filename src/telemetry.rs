//! Sets up the log.
//!
//! Lines go to standard output through a bounded queue and a thread of their own: a blocked pipe or a full disk costs
//! lines, never a request its time.

mod lost_lines;
pub mod settings;

use std::{
    io::{IsTerminal, stdout},
    panic,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{Targets, dynamic_filter_fn},
    fmt,
    layer::SubscriberExt,
    registry, reload,
    util::SubscriberInitExt,
};

pub use self::lost_lines::LostLines;
use self::{
    lost_lines::{Counting, Unwritten},
    settings::{LogFormat, LogSettings},
};

/// Lines that may wait to be written. More are dropped.
const QUEUED_LINES: usize = 16_384;

/// How long the end of the process waits for what is queued to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of this process. When it is dropped, what is queued is written, if somebody takes it.
pub struct Log {
    lost: LostLines,
    filter: reload::Handle<Targets, Registry>,
    writing: Option<WorkerGuard>,
}

/// Starts the log of this process.
///
/// Panics are logged with their place and without their message, which could hold personal data.
pub fn init(settings: &LogSettings) -> Log {
    let unwritten = Unwritten::default();
    let out = Counting { writer: stdout(), unwritten: unwritten.clone() };
    let (writer, writing) = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).finish(out);
    let lost = LostLines::new(writer.error_counter(), unwritten);
    let on_terminal = stdout().is_terminal();
    let format = settings.format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let (level, filter) = reload::Layer::new(from(settings.level));
    // Fields stand in the lines themselves, so that each can be read alone; spans would repeat them.
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Pretty => lines.compact().with_ansi(on_terminal).boxed(),
    };
    let wanted = dynamic_filter_fn(|what, _| what.is_event() && !is_expected(what));
    registry().with(level).with(lines.with_filter(wanted)).init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Log { lost, filter, writing: Some(writing) }
}

/// What is logged from `level` on.
fn from(level: Level) -> Targets {
    // What actix says at "info" about its threads is of no use to operators.
    Targets::new().with_default(level).with_target("actix_server", level.min(Level::WARN))
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
