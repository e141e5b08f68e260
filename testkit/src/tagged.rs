//! A store inside the test process that speaks the protocol of memcached or of Tarantool, and can answer wrongly.
//!
//! Real servers do not answer twice, with another question's tag, or with half an answer. This one does, on command. It
//! keeps strings, and lets every user in.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocols::{
    iproto::{self, Kind, Request, Value},
    meta::{self, Command},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Door;

/// A server on a free port, healthy at first. Dropping it closes everything.
pub struct TaggedServer {
    /// Decides which connections are accepted, and the fate of existing ones.
    pub door: Door,
    shared: Arc<Shared>,
}

/// The bytes in place of the answer to a read.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// The answer, twice.
    Twice,
    /// The answer, with the tag of the question before it.
    EarlierTag,
    /// The answer, with the tag of no question.
    UnknownTag,
    /// The answer, without a tag; only memcached's can be.
    NoTag,
    /// Nothing, and the later answers come.
    Nothing,
    /// This answer and the next one, in the wrong order.
    Swapped,
    /// That many bytes of the answer, and the end of the connection.
    CutAfter(usize),
    /// That many bytes of the answer, and silence.
    StopAfter(usize),
    /// Bytes of another protocol.
    Garbage,
    /// An answer that announces 4 GB, and some of it.
    HugeLength,
    /// An answer that announces a few bytes more than there are.
    WrongLength,
    /// The answer, byte by byte.
    Slices,
    /// The answer, after this time.
    Late(Duration),
    /// An error of the server: for Tarantool with this number.
    Error(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Memcached,
    Tarantool,
}

struct Shared {
    protocol: Protocol,
    values: Mutex<HashMap<String, Vec<u8>>>,
    /// The fault of reads, and how many it still befalls.
    wrong: Mutex<Option<(Wrong, usize)>>,
    healed: watch::Sender<()>,
}

/// The right answer to a request, with any token.
type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send>;

/// A request, and the right answer.
struct Asked {
    is_read: bool,
    answer: Vec<u8>,
    /// The same answer with another tag; `None` removes it.
    tagged: Box<dyn Fn(Option<u64>) -> Vec<u8> + Send>,
    tag: u64,
}

// ===== impl TaggedServer =====

impl TaggedServer {
    /// An empty memcached.
    pub fn memcached() -> Self {
        Self::start(Protocol::Memcached)
    }

    /// An empty Tarantool.
    pub fn tarantool() -> Self {
        Self::start(Protocol::Tarantool)
    }

    fn start(protocol: Protocol) -> Self {
        let shared = Arc::new(Shared {
            protocol,
            values: Mutex::default(),
            wrong: Mutex::default(),
            healed: watch::Sender::new(()),
        });
        let serving = shared.clone();
        let door = Door::new(move |_, stream| {
            let shared = serving.clone();
            // That a client goes away is no concern of ours.
            Box::pin(async move { _ = shared.serve(stream).await })
        });
        Self { door, shared }
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// The URL for the service.
    pub fn url(&self) -> String {
        match self.shared.protocol {
            Protocol::Memcached => format!("memcached://{}", self.addr()),
            Protocol::Tarantool => format!("tarantool://ann:secret@{}", self.addr()),
        }
    }

    /// Stores a string.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        self.shared.values.lock().unwrap().insert(key.to_owned(), value.as_ref().to_vec());
    }

    /// Answers the next `times` reads wrongly, of all connections together.
    pub fn answer_wrongly(&self, wrong: Wrong, times: usize) {
        *self.shared.wrong.lock().unwrap() = Some((wrong, times));
    }

    /// Ends all faults, and opens the door.
    pub fn heal(&self) {
        *self.shared.wrong.lock().unwrap() = None;
        self.shared.healed.send_replace(());
        self.door.open();
    }
}

// ===== impl Shared =====

impl Shared {
    async fn serve(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut received = Vec::new();
        let mut held = Vec::new();
        if self.protocol == Protocol::Tarantool {
            stream.write_all(&iproto::greeting()).await?;
        }
        loop {
            while let Some(asked) = self.take(&mut received) {
                let wrong = if asked.is_read { self.next_wrong() } else { None };
                if !held.is_empty() && wrong != Some(Wrong::Swapped) {
                    stream.write_all(&asked.answer).await?;
                    stream.write_all(&std::mem::take(&mut held)).await?;
                    continue;
                }
                let answer = &asked.answer;
                match wrong {
                    None => stream.write_all(answer).await?,
                    Some(Wrong::Twice) => stream.write_all(&answer.repeat(2)).await?,
                    Some(Wrong::EarlierTag) => {
                        stream.write_all(&(asked.tagged)(Some(asked.tag.wrapping_sub(1)))).await?;
                    }
                    Some(Wrong::UnknownTag) => {
                        stream.write_all(&(asked.tagged)(Some(asked.tag.wrapping_add(1 << 20)))).await?;
                    }
                    Some(Wrong::NoTag) => stream.write_all(&(asked.tagged)(None)).await?,
                    Some(Wrong::Nothing) => {}
                    Some(Wrong::Swapped) => held = answer.clone(),
                    Some(Wrong::CutAfter(bytes)) => {
                        return stream.write_all(&answer[..bytes.min(answer.len())]).await;
                    }
                    Some(Wrong::StopAfter(bytes)) => {
                        stream.write_all(&answer[..bytes.min(answer.len())]).await?;
                        return std::future::pending().await;
                    }
                    Some(Wrong::Garbage) => {
                        stream.write_all(b"HTTP/1.1 418 \x00\xff\xfe nothing\r\n\r\n").await?
                    }
                    Some(Wrong::HugeLength) => {
                        let head: &[u8] = match self.protocol {
                            Protocol::Memcached => b"VA 4294967296 O1\r\n",
                            Protocol::Tarantool => b"\xce\xff\xff\xff\xff",
                        };
                        stream.write_all(head).await?;
                        // The client need not read it.
                        while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
                        return Ok(());
                    }
                    Some(Wrong::WrongLength) => {
                        let wrong = match self.protocol {
                            Protocol::Memcached => meta::with_wrong_length(answer),
                            Protocol::Tarantool => Some(iproto::with_wrong_length(answer)),
                        };
                        stream.write_all(&wrong.unwrap_or_else(|| answer.clone())).await?;
                    }
                    Some(Wrong::Slices) => {
                        for byte in answer {
                            stream.write_all(&[*byte]).await?;
                            tokio::task::yield_now().await;
                        }
                    }
                    Some(Wrong::Late(by)) => {
                        let mut healed = self.healed.subscribe();
                        tokio::select! {
                            () = tokio::time::sleep(by) => {}
                            _ = healed.changed() => {}
                        }
                        stream.write_all(answer).await?;
                    }
                    Some(Wrong::Error(number)) => {
                        let error = match self.protocol {
                            Protocol::Memcached => meta::error("SERVER_ERROR i:1 must not be in any log"),
                            Protocol::Tarantool => iproto::error(asked.tag, number),
                        };
                        stream.write_all(&error).await?;
                    }
                }
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
    }

    fn next_wrong(&self) -> Option<Wrong> {
        let mut wrong = self.wrong.lock().unwrap();
        let (next, left) = wrong.as_mut()?;
        let next = next.clone();
        *left -= 1;
        if *left == 0 {
            *wrong = None;
        }
        Some(next)
    }

    /// The next complete request, and its right answer.
    fn take(&self, received: &mut Vec<u8>) -> Option<Asked> {
        match self.protocol {
            Protocol::Memcached => meta::take_command(received).map(|command| self.of_memcached(command)),
            Protocol::Tarantool => iproto::take_request(received).map(|request| self.of_tarantool(request)),
        }
    }

    fn of_memcached(&self, command: Command) -> Asked {
        let mut values = self.values.lock().unwrap();
        let tag = command.token().parse().unwrap();
        let is_read = matches!(command, Command::Get { .. });
        let answer: Answer = match command {
            Command::Get { key, .. } => {
                let value = values.get(&key).cloned();
                Box::new(move |token| meta::value(token, value.as_deref()))
            }
            Command::Set { key, value, .. } => {
                values.insert(key, value);
                Box::new(meta::stored)
            }
        };
        let tagged = move |tag: Option<u64>| match tag {
            Some(tag) => answer(&tag.to_string()),
            None => String::from_utf8(answer("")).unwrap().replace(" O\r\n", "\r\n").into_bytes(),
        };
        Asked { is_read, answer: tagged(Some(tag)), tagged: Box::new(tagged), tag }
    }

    fn of_tarantool(&self, request: Request) -> Asked {
        let mut values = self.values.lock().unwrap();
        let value = |values: &HashMap<String, Vec<u8>>, key: &str| {
            values.get(key).map_or(Value::Nil, |value| Value::Text(value.clone()))
        };
        let mut is_read = false;
        let returned = match request.kind {
            Kind::Auth { .. } => None,
            Kind::Call { function, arguments } => match (function.as_str(), &arguments[..]) {
                ("scoring.get_many", [keys]) => {
                    // Not that of the log-in, which asks for nothing.
                    is_read = *keys != Value::Array(Vec::new());
                    Some(Value::Array(keys.texts().iter().map(|key| value(&values, key)).collect()))
                }
                ("scoring.sizes", [keys]) => {
                    let size = |key: &String| Value::Number(values.get(key).map_or(0, Vec::len) as u64);
                    Some(Value::Array(keys.texts().iter().map(size).collect()))
                }
                ("scoring.cache_get", [key]) => {
                    is_read = true;
                    Some(value(&values, &key.text()))
                }
                ("scoring.cache_put", [key, Value::Text(value), Value::Number(_)]) => {
                    values.insert(key.text(), value.clone());
                    Some(Value::Number(1))
                }
                _ => panic!("{function}({arguments:?})"),
            },
        };
        let tagged = move |tag: Option<u64>| match &returned {
            None => iproto::welcome(tag.unwrap()),
            Some(value) => iproto::returned(tag.expect("Tarantool always has a tag"), vec![value.clone()]),
        };
        Asked { is_read, answer: tagged(Some(request.sync)), tagged: Box::new(tagged), tag: request.sync }
    }
}
