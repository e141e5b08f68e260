//! One connection to Tarantool, and the functions that are called over it.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::BoxFuture};

use super::{
    iproto::{Answer, sort, write_call},
    msgpack::{Malformed, Reader, Text, put_array, put_text, put_uint},
};
use crate::{
    store::{
        BackendError, Connection, ReplyFuture, Size, Stored,
        wire::{DriverHandle, Line},
    },
    units::millis,
};

/// A connection that all callers share.
pub(super) struct TarantoolConnection {
    pub(super) functions: Functions,
    _driver: DriverHandle,
}

/// The functions of the server.
#[derive(Clone)]
pub(super) struct Functions {
    pub(super) line: Line<Answer>,
    module: Arc<str>,
}

// ===== impl Functions =====

impl Functions {
    /// Calls a function with `count` arguments, and returns its values as an array in MessagePack.
    pub(super) async fn call(
        &self,
        function: &str,
        count: usize,
        put_arguments: impl FnOnce(&mut BytesMut),
    ) -> Result<Bytes, BackendError> {
        let write = |tag, out: &mut BytesMut| {
            write_call(&self.module, function, count, put_arguments, tag, out);
        };
        match self.line.ask(write).await? {
            Answer::Data(data) => Ok(data),
            Answer::Error(number) => Err(sort(number)),
        }
    }

    /// The stored values of `keys`, in their order.
    pub(super) async fn values(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        let data = self.call("get_many", 1, |out| put_keys(keys, out)).await?;
        let mut reader = returned(&data)?;
        let before = reader;
        // No array: the values together are too large for an answer.
        if reader.text() == Ok(Text::Nil) {
            return Err(BackendError::TooLarge);
        }
        reader = before;
        let values = elements(&mut reader, keys.len(), |reader| {
            Ok(match reader.text()? {
                Text::Nil => Stored::Nothing,
                Text::Bytes(value) => Stored::Value(value.to_vec()),
                Text::OtherKind => Stored::WrongKind,
            })
        });
        values.map_err(|Malformed| BackendError::Protocol)
    }

    async fn sizes(&self, keys: &[String]) -> Result<Vec<Option<Size>>, BackendError> {
        let data = self.call("sizes", 1, |out| put_keys(keys, out)).await?;
        let sizes = elements(&mut returned(&data)?, keys.len(), |reader| {
            let before = *reader;
            // Another kind has no size.
            Ok(Some(match reader.text()? {
                Text::Nil => Size::OtherKind,
                Text::Bytes(_) | Text::OtherKind => {
                    *reader = before;
                    Size::Bytes(reader.uint()?)
                }
            }))
        });
        sizes.map_err(|Malformed| BackendError::Protocol)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BackendError> {
        let data = self.call("cache_get", 1, |out| put_text(&[key.as_bytes()], out)).await?;
        match returned(&data)?.text() {
            Ok(Text::Nil) => Ok(None),
            Ok(Text::Bytes(value)) => Ok(Some(value.to_vec())),
            Ok(Text::OtherKind) => Err(BackendError::WrongType),
            Err(Malformed) => Err(BackendError::Protocol),
        }
    }

    async fn set(&self, key: &str, value: &[u8], ttl: u64) -> Result<(), BackendError> {
        let put = |out: &mut BytesMut| {
            put_text(&[key.as_bytes()], out);
            put_text(&[value], out);
            put_uint(ttl, out);
        };
        self.call("cache_put", 3, put).await.map(drop)
    }
}

pub(super) fn put_keys(keys: &[String], out: &mut BytesMut) {
    put_array(keys.len(), out);
    keys.iter().for_each(|key| put_text(&[key.as_bytes()], out));
}

/// The first of the values that a function returned.
pub(super) fn returned(data: &[u8]) -> Result<Reader<'_>, BackendError> {
    let mut reader = Reader::new(data);
    match reader.array() {
        Ok(count) if count > 0 => Ok(reader),
        Ok(_) | Err(Malformed) => Err(BackendError::Protocol),
    }
}

/// An array of exactly `count` elements.
fn elements<'a, T>(
    reader: &mut Reader<'a>,
    count: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    if reader.array()? != count as u64 {
        return Err(Malformed);
    }
    (0..count).map(|_| read(reader)).collect()
}

// ===== impl TarantoolConnection =====

impl TarantoolConnection {
    pub(super) fn new(line: Line<Answer>, driver: DriverHandle, module: Arc<str>) -> Self {
        Self { functions: Functions { line, module }, _driver: driver }
    }
}

impl Connection for TarantoolConnection {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        let functions = self.functions.clone();
        async move { functions.get(&key).await }.boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let functions = self.functions.clone();
        async move {
            let values = functions.values(&keys).await?.into_iter();
            let value = |stored| match stored {
                Stored::Nothing => Ok(None),
                Stored::Value(value) => Ok(Some(value)),
                Stored::WrongKind => Err(BackendError::WrongType),
            };
            values.map(value).collect()
        }
        .boxed()
    }

    fn sizes(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Size>>> {
        let functions = self.functions.clone();
        async move { functions.sizes(&keys).await }.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        let functions = self.functions.clone();
        async move { functions.set(&key, &value, millis(ttl)).await }.boxed()
    }

    fn silent_for(&self) -> Duration {
        self.functions.line.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        self.functions.line.clone().ended().boxed()
    }

    fn close(&self) {
        self.functions.line.close();
    }
}
