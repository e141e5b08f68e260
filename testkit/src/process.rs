//! The process of a real server: started, stopped, killed, and started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The file with the output of a process, in its folder.
pub(crate) const OUTPUT: &str = "output";

/// A program with its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    /// Debian's package, for the panic when the program is missing.
    package: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    dir: PathBuf,
}

/// A process that does not outlive its owner. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct ServerProcess {
    /// `None` once it is reaped, because another process may then have its id.
    child: Mutex<Option<Child>>,
    is_stopped: AtomicBool,
}

// ===== impl Program =====

impl Program {
    pub(crate) fn new(name: &str, package: &'static str, arguments: &[&str], dir: &Path) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name: name.to_owned(), package, arguments, environment: Vec::new(), dir: dir.to_owned() }
    }

    /// A program of Redis, or of a server like it.
    pub(crate) fn of_redis(name: &str, arguments: &[&str], dir: &Path) -> Self {
        Self::new(name, "redis-server", arguments, dir)
    }

    /// With these variables in its environment.
    pub(crate) fn with(self, environment: &[(&'static str, &str)]) -> Self {
        let environment = environment.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Self { environment, ..self }
    }

    fn run(&self) -> Child {
        let output = File::create(self.dir.join(OUTPUT)).unwrap();
        let child = Command::new(&self.name)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        let Self { name, package, .. } = self;
        child.unwrap_or_else(|error| {
            panic!("cannot start {name} ({error}); install it with: apt-get install -y {package}")
        })
    }
}

// ===== impl ServerProcess =====

impl ServerProcess {
    /// Starts it. Whether it answers is another question.
    ///
    /// # Panics
    ///
    /// When the program is not installed.
    pub(crate) fn start(program: &Program) -> Self {
        Self { child: Mutex::new(Some(program.run())), is_stopped: AtomicBool::new(false) }
    }

    /// Runs a program in its place. The one before must have been killed.
    pub(crate) fn run(&self, program: &Program) {
        *self.child() = Some(program.run());
    }

    /// Whether it runs, and has not been stopped.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_stopped.load(Relaxed) && self.child().is_some()
    }

    /// # Panics
    ///
    /// When it has ended by itself; with its log.
    pub(crate) fn has_not_ended(&self, log: &Path) {
        let status = self.child().as_mut().and_then(|child| child.try_wait().unwrap());
        if let Some(status) = status {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("the server ended with {status}:\n{log}");
        }
    }

    /// Kills the process, and returns when it is gone. One that has already ended is only reaped.
    pub fn kill9(&self) {
        // This kills a stopped process too.
        if let Some(mut child) = self.child().take() {
            _ = child.kill();
            _ = child.wait();
        }
        self.is_stopped.store(false, Relaxed);
    }

    /// Stops the process, and returns when it has stopped. The kernel still accepts connections for it.
    pub fn sigstop(&self) {
        let pid = self.pid();
        kill_process(pid, Signal::STOP).unwrap();
        self.is_stopped.store(true, Relaxed);
        // Without NOWAIT the kernel would report one stop only once, and a second stop would wait for ever.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .unwrap();
    }

    /// Resumes a stopped process.
    pub fn sigcont(&self) {
        self.is_stopped.store(false, Relaxed);
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// The id of the process.
    ///
    /// # Panics
    ///
    /// When it has been killed.
    pub fn id(&self) -> u32 {
        self.child().as_ref().expect("the server has been killed").id()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child().as_ref().expect("the server has been killed"))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill9();
    }
}
