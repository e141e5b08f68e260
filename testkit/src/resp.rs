//! A store inside the test process: a small, scripted Redis, which can also answer wrongly.
//!
//! A real Redis cannot be made to cut a reply in two or to answer garbage, and is slow to start. This one speaks RESP2
//! and RESP3, keeps strings, records every command, and follows a script of faults that a test changes as it goes.

mod fault;
mod keyspace;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use self::fault::Script;
pub use self::fault::{DATA, Fault, READS, Rule, WRITES};
use self::keyspace::Keyspace;
use super::Door;

const GARBAGE: &[u8] = b"HTTP/1.1 418 \x00\xff\xfe not RESP\r\n\r\n";
/// As many databases as Redis has by default.
const DATABASES: u32 = 16;
const MAX_CLIENTS: &str = "-ERR max number of clients reached\r\n";

/// A RESP server on a free port, healthy at first. Dropping it closes everything.
pub struct RespServer {
    /// Decides which connections are accepted, and the fate of existing ones.
    pub door: Door,
    shared: Arc<Shared>,
}

/// A command that the server has read, with any answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The number of the connection that it came on, counted from 0.
    pub connection: usize,
    /// In capitals.
    pub name: String,
    /// Invalid UTF-8 is shown as U+FFFD.
    pub args: Vec<String>,
}

#[derive(Default)]
struct Shared {
    script: Script,
    keyspaces: Mutex<HashMap<u32, Keyspace>>,
    commands: Mutex<Vec<Command>>,
    login: Mutex<Option<(String, String)>>,
    filler: AtomicU64,
}

/// The state of one connection.
struct Session {
    protocol: u8,
    logged_in: bool,
    database: u32,
    /// The commands that were queued since `MULTI`.
    transaction: Option<Vec<(Command, Vec<Vec<u8>>)>>,
}

// ===== impl RespServer =====

impl RespServer {
    /// Starts a server with an empty keyspace and no password.
    pub fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        let door = Door::new(move |number, stream| {
            let shared = Arc::clone(&serving);
            // That a client goes away is no concern of ours.
            Box::pin(async move { _ = shared.serve(number, stream).await })
        });
        Self { door, shared }
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Asks connections that are made from now on to log in. `AUTH` with a password alone means the user `default`.
    pub fn require_login(&self, user: &str, password: &str) {
        *self.shared.login.lock().unwrap() = Some((user.to_owned(), password.to_owned()));
    }

    /// Makes this the only fault of replies.
    pub fn set(&self, rule: impl Into<Rule>) {
        self.shared.script.replace(vec![rule.into()]);
    }

    /// Adds a fault to those in force, which come first.
    pub fn also(&self, rule: impl Into<Rule>) {
        self.shared.script.add(rule.into());
    }

    /// Answers new connections as a Redis at its `maxclients` does, until [`heal`](Self::heal).
    pub fn max_clients(&self) {
        self.door.turn_away(MAX_CLIENTS);
    }

    /// Ends all faults of replies and opens the door. Stalled commands are answered now.
    pub fn heal(&self) {
        self.shared.script.replace(Vec::new());
        self.door.open();
    }

    /// Closes all connections now. New ones work.
    pub fn drop_connections(&self) {
        self.door.drop_existing();
    }

    /// Leaves all connections open but silent for ever. New ones work.
    pub fn freeze_existing(&self) {
        self.door.freeze_existing();
    }

    /// How many bytes of [`Fault::HugeLength`] clients have taken, or sockets on the way to them.
    pub fn filler_sent(&self) -> u64 {
        self.shared.filler.load(Ordering::SeqCst)
    }

    /// Stores a string in database 0, where all is that names no other one.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        self.put_in(0, key, value);
    }

    /// Stores a string in a database.
    pub fn put_in(&self, database: u32, key: &str, value: impl AsRef<[u8]>) {
        self.shared.keyspace(database, |keys| keys.put(key, value.as_ref()));
    }

    /// Stores something that is no string: `GET` answers `WRONGTYPE`, `MGET` null, and `SET` overwrites it.
    pub fn put_wrong_type(&self, key: &str) {
        self.shared.keyspace(0, |keys| keys.put_wrong_type(key));
    }

    /// The string under `key`.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.stored_in(0, key)
    }

    /// The string under `key` of a database.
    pub fn stored_in(&self, database: u32, key: &str) -> Option<Vec<u8>> {
        self.shared.keyspace(database, |keys| keys.text(key).map(<[u8]>::to_vec))
    }

    /// All commands since the start or the last [`forget`](Self::forget), in the order in which they were read.
    pub fn commands(&self) -> Vec<Command> {
        self.shared.commands.lock().unwrap().clone()
    }

    /// Those of them that have this name, in capitals.
    pub fn seen(&self, name: &str) -> Vec<Command> {
        self.commands().into_iter().filter(|command| command.name == name).collect()
    }

    /// Forgets the commands, so that a test can count from here.
    pub fn forget(&self) {
        self.shared.commands.lock().unwrap().clear();
    }
}

// ===== impl Shared =====

impl Shared {
    async fn serve(&self, connection: usize, stream: &mut TcpStream) -> io::Result<()> {
        let (from, mut to) = stream.split();
        let mut from = BufReader::new(from);
        let logged_in = self.login.lock().unwrap().is_none();
        let mut session = Session { protocol: 2, logged_in, database: 0, transaction: None };

        while let Some(mut parts) = wire::read_command(&mut from).await? {
            let raw = parts.split_off(parts.len().min(1));
            let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
            let name = parts.first().map(text).unwrap_or_default().to_uppercase();
            let command = Command { connection, name, args: raw.iter().map(text).collect() };
            self.commands.lock().unwrap().push(command.clone());

            let mut answer = || self.answer(&command, &raw, &mut session);
            match self.script.fault(&command) {
                None => to.write_all(&answer()).await?,
                Some((Fault::Stall, mut lifted)) => {
                    _ = lifted.changed().await;
                    to.write_all(&answer()).await?;
                }
                Some((Fault::Delay(delay), _)) => {
                    tokio::time::sleep(delay).await;
                    to.write_all(&answer()).await?;
                }
                Some((Fault::Error(text), _)) => to.write_all(&wire::error(text)).await?,
                Some((Fault::Raw(bytes), _)) => to.write_all(bytes).await?,
                Some((Fault::Garbage, _)) => to.write_all(GARBAGE).await?,
                Some((Fault::HugeLength(filler), _)) => {
                    to.write_all(b"$1000000000\r\n").await?;
                    self.fill(filler, &mut to).await?;
                    // Closing would be an answer too, so wait for the client to do it.
                    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
                    return Ok(());
                }
                Some((Fault::CutMidReply(length), _)) => {
                    let reply = answer();
                    return to.write_all(&reply[..length.min(reply.len())]).await;
                }
                Some((Fault::StopMidReply(length), _)) => {
                    let reply = answer();
                    to.write_all(&reply[..length.min(reply.len())]).await?;
                    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
                    return Ok(());
                }
                Some((Fault::Replace(text, other), _)) => {
                    let reply = String::from_utf8_lossy(&answer()).replacen(text, other, 1);
                    to.write_all(reply.as_bytes()).await?;
                }
                Some((Fault::Twice, _)) => to.write_all(&answer().repeat(2)).await?,
                Some((Fault::Slice, _)) => {
                    for byte in answer() {
                        to.write_all(&[byte]).await?;
                        // Lets the reader have this byte before the next one comes.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn fill(&self, bytes: u64, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        const CHUNK: &[u8] = &[b'x'; 1 << 16];
        let mut left = bytes;
        while left > 0 {
            let sent = to.write(&CHUNK[..CHUNK.len().min(left as usize)]).await? as u64;
            self.filler.fetch_add(sent, Ordering::SeqCst);
            left -= sent;
        }
        Ok(())
    }

    /// The answer of a healthy Redis.
    fn answer(&self, command: &Command, raw: &[Vec<u8>], session: &mut Session) -> Vec<u8> {
        let args: Vec<_> = command.args.iter().map(String::as_str).collect();
        match (command.name.as_str(), args.as_slice()) {
            ("AUTH", [password]) => self.log_in("default", password, session),
            ("AUTH", [user, password]) => self.log_in(user, password, session),
            ("HELLO", [version, options @ ..]) => self.hello(version, options, session),
            _ if !session.logged_in => wire::error("NOAUTH Authentication required."),
            ("MULTI", []) if session.transaction.is_none() => {
                session.transaction = Some(Vec::new());
                wire::simple("OK")
            }
            ("EXEC", []) => match session.transaction.take() {
                None => wire::error("ERR EXEC without MULTI"),
                Some(queued) => {
                    let replies = queued.iter().map(|(command, raw)| self.answer(command, raw, session));
                    wire::array(&replies.collect::<Vec<_>>())
                }
            },
            _ if session.transaction.is_some() => {
                session
                    .transaction
                    .iter_mut()
                    .for_each(|queued| queued.push((command.clone(), raw.to_vec())));
                wire::simple("QUEUED")
            }
            ("PING", []) => wire::simple("PONG"),
            ("PING", [_]) => wire::bulk(Some(&raw[0]), session.protocol),
            ("SELECT", [database]) => match database.parse() {
                Ok(number) if number < DATABASES => {
                    session.database = number;
                    wire::simple("OK")
                }
                _ => wire::error("ERR DB index is out of range"),
            },
            ("CLIENT", [_, ..]) => wire::simple("OK"),
            _ => self.keyspace(session.database, |keys| keys.answer(command, raw, session.protocol)),
        }
    }

    fn keyspace<T>(&self, database: u32, look: impl FnOnce(&mut Keyspace) -> T) -> T {
        look(self.keyspaces.lock().unwrap().entry(database).or_default())
    }

    fn log_in(&self, user: &str, password: &str, session: &mut Session) -> Vec<u8> {
        match &*self.login.lock().unwrap() {
            None => wire::error("ERR AUTH called without any password configured for the default user."),
            Some(login) if (login.0.as_str(), login.1.as_str()) == (user, password) => {
                session.logged_in = true;
                wire::simple("OK")
            }
            Some(_) => wire::error("WRONGPASS invalid username-password pair or user is disabled."),
        }
    }

    fn hello(&self, version: &str, options: &[&str], session: &mut Session) -> Vec<u8> {
        if let ["AUTH", user, password, ..] = options {
            let reply = self.log_in(user, password, session);
            if !reply.starts_with(b"+") {
                return reply;
            }
        }
        if !session.logged_in {
            return wire::error("NOAUTH HELLO must be called with the client already authenticated.");
        }
        session.protocol = if version == "3" { 3 } else { 2 };
        let text = |text: &str| wire::bulk(Some(text.as_bytes()), 2);
        let pairs = [
            ("server", text("redis")),
            ("version", text("7.0.15")),
            ("proto", wire::integer(session.protocol.into())),
            ("id", wire::integer(1)),
            ("mode", text("standalone")),
            ("role", text("master")),
            ("modules", wire::array(&[])),
        ];
        wire::map(&pairs, session.protocol)
    }
}

#[cfg(test)]
mod tests;
