//! How a benchmark is begun, and how it ends early.

use std::process::ExitCode;

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

/// The arguments; none at all if cargo does not say that it is run as a benchmark: then it is only being tried out.
pub fn arguments() -> Option<Vec<String>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    arguments.retain(|argument| !argument.starts_with("--"));
    is_bench.then_some(arguments)
}

/// Works until done, interrupted or terminated. Whatever ends it, the processes that it started end with it, as what
/// stands for them is dropped.
pub async fn until_stopped(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    select! {
        code = work => code,
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}
