//! Sets up the log.
//!
//! Lines go to standard output through a bounded queue and a thread of their own: a blocked pipe or a full disk costs
//! lines, never a request its time.

pub mod settings;

use std::{
    io::{IsTerminal, stdout},
    panic,
};

use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

use self::settings::{LogFormat, LogSettings};

/// Lines that may wait to be written. More are dropped.
const QUEUED_LINES: usize = 16_384;

/// Starts the log of this process. What is queued is written when the guard is dropped.
///
/// Panics are logged with their place and without their message, which could hold personal data.
pub fn init(settings: &LogSettings) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).finish(stdout());
    let on_terminal = stdout().is_terminal();
    let format = settings.format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    // What actix says at "info" about its threads is of no use to operators.
    let filter = Targets::new()
        .with_default(settings.level)
        .with_target("actix_server", settings.level.min(Level::WARN));
    let lines = registry().with(filter);
    // Fields stand in the lines themselves, so that each can be read alone; spans would repeat them.
    match format {
        LogFormat::Json => lines
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false)
                    .with_writer(writer),
            )
            .init(),
        LogFormat::Pretty => {
            lines.with(fmt::layer().compact().with_ansi(on_terminal).with_writer(writer)).init();
        }
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    guard
}
