//! Start and early end of a benchmark.

use std::process::ExitCode;

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

/// The arguments. `None` if cargo does not run it as a benchmark but only tries it out.
pub fn arguments() -> Option<Vec<String>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    arguments.retain(|argument| !argument.starts_with("--"));
    is_bench.then_some(arguments)
}

/// Works until done, interrupted or terminated. In each case the values that own child processes are dropped, so the
/// processes end as well.
pub async fn until_stopped(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    select! {
        code = work => code,
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}
