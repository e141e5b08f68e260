//! SIGINT and SIGTERM, and the exit codes that a shell expects after them.
//!
//! They are handled even where the kernel's default would do: for the first process of a container, the default is to
//! ignore them.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
};

use tokio::{
    runtime::Builder,
    select,
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};

use super::failure::Failure;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGINT: Ctrl-C at a terminal.
    Interrupt,
    /// SIGTERM: a supervisor, or `kill`.
    Terminate,
}

/// Listens to both signals from its creation on.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Decides between a signal and a commit at the same time: the first one wins.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicU8>);

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const STOPPED: u8 = 2;

// ===== impl Stop =====

impl Stop {
    /// 128 plus the signal's number, as in shells.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

// ===== impl Signals =====

impl Signals {
    /// Starts to listen. Needs a tokio runtime.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Stop {
        select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}

// ===== impl Gate =====

impl Gate {
    /// Whether the signal came first: then nothing is committed.
    fn stop(&self) -> bool {
        self.pass(STOPPED)
    }

    /// Whether the commit came first: then a signal has to wait for it.
    pub(super) fn commit(&self) -> bool {
        self.pass(COMMITTING)
    }

    fn pass(&self, to: u8) -> bool {
        self.0.compare_exchange(OPEN, to, SeqCst, SeqCst).is_ok()
    }
}

/// Runs blocking `work` until it is done or a signal comes.
///
/// A signal ends it at once, unless it is committing: then the signal waits for its outcome, and a second signal ends
/// it.
pub(super) fn until_signal<T: Send + 'static>(
    work: impl FnOnce(Gate) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        let gate = Gate::default();
        let mut working = spawn_blocking({
            let gate = gate.clone();
            move || work(gate)
        });
        let stopped = |stop, consequence| Err(Failure::Stopped { stop, consequence });
        let finished = select! {
            finished = &mut working => finished,
            stop = signals.next() => {
                if gate.stop() {
                    return stopped(stop, "; nothing was changed");
                }
                select! {
                    finished = &mut working => finished,
                    stop = signals.next() => return stopped(
                        stop,
                        " in the middle of a commit; all of it is written or nothing is, and running this again is safe",
                    ),
                }
            }
        };
        finished.unwrap_or_else(|died| Err(Failure::Start(io::Error::other(died))))
    });
    // Does not wait for abandoned work: the process is about to end.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_signal_and_a_commit_only_the_first_passes() {
        let gate = Gate::default();
        assert!(gate.commit());
        assert!(!gate.stop());
        let gate = Gate::default();
        assert!(gate.stop());
        assert!(!gate.commit());
    }

    #[test]
    fn work_that_no_signal_ends_gives_its_outcome() {
        assert_eq!(until_signal(|_| Ok(7)).unwrap(), 7);
        let failed = until_signal::<()>(|_| Err(Failure::Malformed(3)));
        assert!(matches!(failed, Err(Failure::Malformed(3))));
    }
}
