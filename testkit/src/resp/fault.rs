//! Faults of replies, and the commands that they affect.
//!
//! Each error comes with the commands that a real Redis would answer with it. A probe depends on that: a Redis out of
//! memory still answers `PONG`, one that cannot save to disk does not.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use super::Command;

/// Commands that read data.
pub const READS: &[&str] = &["GET", "MGET", "EXISTS"];
/// Commands that change data.
pub const WRITES: &[&str] = &["SET", "SETEX", "MSET", "DEL"];
/// Commands on data. The handshake and `PING` do not count.
pub const DATA: &[&str] = &["GET", "MGET", "EXISTS", "SET", "SETEX", "MSET", "DEL"];
const PING_AND_WRITES: &[&str] = &["PING", "SET", "SETEX", "MSET", "DEL"];
const PING_AND_DATA: &[&str] = &["PING", "GET", "MGET", "EXISTS", "SET", "SETEX", "MSET", "DEL"];
/// Commands that Redis rejects while a script runs, or before the log-in; `LOADING` and `MASTERDOWN` let a `SELECT`
/// pass.
const SELECT_PING_AND_DATA: &[&str] =
    &["SELECT", "PING", "GET", "MGET", "EXISTS", "SET", "SETEX", "MSET", "DEL"];
const LOGIN: &[&str] = &["AUTH", "HELLO"];

/// The event in place of a plain reply.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Holds the command, and all behind it on its connection, until the fault is lifted; then answers late, in order.
    Stall,
    /// Waits before it carries the command out. Commands on one connection wait one after the other.
    Delay(Duration),
    /// Answers with this error, without the leading `-`. The command is not carried out.
    Error(&'static str),
    /// Answers with exactly these bytes. The command is not executed.
    Raw(&'static [u8]),
    /// Answers with bytes that are no RESP. The command is not carried out.
    Garbage,
    /// Announces a bulk string of a gigabyte, sends this many bytes of it, then nothing more on that connection.
    HugeLength(u64),
    /// Carries the command out, sends that many bytes of its reply and closes the connection.
    CutMidReply(usize),
    /// Carries the command out and sends the reply byte by byte.
    Slice,
    /// Carries the command out and sends the reply twice.
    Twice,
    /// Executes the command, sends this many bytes of its reply, then nothing more on that connection.
    StopMidReply(usize),
    /// Carries the command out and sends its reply with this text in the place of its first occurrence of that one.
    Replace(&'static str, &'static str),
}

/// A fault, the commands that it befalls, and how often.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    commands: Option<&'static [&'static str]>,
    key: Option<String>,
    left: usize,
    /// The connections with a lower number that it still befalls, once each; `None` if all commands count.
    once_below: Option<usize>,
    befallen: Vec<usize>,
}

/// The rules in force. The first that fits a command counts.
#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Mutex<Vec<Rule>>,
    lifted: watch::Sender<usize>,
}

// ===== impl Fault =====

impl Fault {
    /// Befalls only these commands, for example [`DATA`]; any command may be named, those of the log-in and of a transaction
    /// as well.
    pub fn on(self, commands: &'static [&'static str]) -> Rule {
        Rule { commands: Some(commands), ..self.into() }
    }

    /// Befalls only commands that name this key.
    pub fn on_key(self, key: &str) -> Rule {
        Rule { key: Some(key.to_owned()), ..self.on(DATA) }
    }

    /// Befalls only the next `n` commands.
    pub fn times(self, n: usize) -> Rule {
        Rule::from(self).times(n)
    }

    /// Redis is reading its data from disk.
    pub fn loading() -> Rule {
        Self::Error("LOADING Redis is loading the dataset in memory").on(PING_AND_DATA)
    }

    /// A script has blocked Redis for longer than `busy-reply-threshold`.
    pub fn busy() -> Rule {
        Self::Error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
            .on(SELECT_PING_AND_DATA)
    }

    /// A replica has lost its primary and may not serve stale data.
    pub fn master_down() -> Rule {
        Self::Error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
            .on(PING_AND_DATA)
    }

    /// The primary has become a replica.
    pub fn readonly() -> Rule {
        Self::Error("READONLY You can't write against a read only replica.").on(WRITES)
    }

    /// `maxmemory` is reached and nothing may be evicted.
    pub fn oom() -> Rule {
        Self::Error("OOM command not allowed when used memory > 'maxmemory'.").on(WRITES)
    }

    /// Saving to disk has failed. A real Redis then fails `PING` too.
    pub fn misconf() -> Rule {
        Self::Error("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.")
            .on(PING_AND_WRITES)
    }

    /// The connection has not logged in, since a password was set meanwhile.
    pub fn noauth() -> Rule {
        Self::Error("NOAUTH Authentication required.").on(SELECT_PING_AND_DATA)
    }

    /// The password is refused. It says so to every `HELLO`, with a password or without.
    pub fn wrongpass() -> Rule {
        Self::Error("WRONGPASS invalid username-password pair or user is disabled.").on(LOGIN)
    }

    /// The user has logged in but may not touch data.
    pub fn noperm() -> Rule {
        Self::Error("NOPERM User default has no permissions to run this command").on(DATA)
    }

    /// The key holds a list, say. `MGET` never answers so: see [`put_wrong_type`](super::RespServer::put_wrong_type).
    pub fn wrongtype() -> Rule {
        Self::Error("WRONGTYPE Operation against a key holding the wrong kind of value").on(&["GET"])
    }

    /// The keys of one command are in a slot that moves.
    pub fn tryagain() -> Rule {
        Self::Error("TRYAGAIN Multiple keys request during rehashing of slot").on(&["MGET", "MSET", "DEL"])
    }

    /// Some slots have no primary.
    pub fn cluster_down() -> Rule {
        Self::Error("CLUSTERDOWN The cluster is down").on(DATA)
    }
}

// ===== impl Rule =====

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self { fault, commands: None, key: None, left: usize::MAX, once_below: None, befallen: Vec::new() }
    }
}

impl Rule {
    /// Befalls only the next `n` commands that it fits.
    pub fn times(self, n: usize) -> Self {
        Self { left: n, ..self }
    }

    /// Befalls only connections with a number below `connections`, and each of them once.
    pub fn once_on_each_below(self, connections: usize) -> Self {
        Self { once_below: Some(connections), ..self }
    }

    fn fits(&self, command: &Command) -> bool {
        self.left > 0
            && self.once_below.is_none_or(|connections| {
                command.connection < connections && !self.befallen.contains(&command.connection)
            })
            && self.commands.is_none_or(|names| names.contains(&command.name.as_str()))
            && self.key.as_ref().is_none_or(|key| command.args.contains(key))
    }
}

// ===== impl Script =====

impl Script {
    /// Replaces the rules. Stalled commands continue.
    pub(super) fn replace(&self, rules: Vec<Rule>) {
        *self.rules.lock().unwrap() = rules;
        self.lifted.send_modify(|times| *times += 1);
    }

    /// Adds a rule behind those in force.
    pub(super) fn add(&self, rule: Rule) {
        self.rules.lock().unwrap().push(rule);
    }

    /// Takes the fault that affects `command`, and a signal that it has been lifted.
    pub(super) fn fault(&self, command: &Command) -> Option<(Fault, watch::Receiver<usize>)> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.fits(command))?;
        rule.left -= 1;
        if rule.once_below.is_some() {
            rule.befallen.push(command.connection);
        }
        Some((rule.fault.clone(), self.lifted.subscribe()))
    }
}
