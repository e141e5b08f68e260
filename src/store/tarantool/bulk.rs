//! Tarantool in bulk: an import is staged piece by piece and becomes visible at once; an export reads pages.
//!
//! The server moves the entries of an import to their place after that, in small pieces, so that it goes on answering.
//! If the client dies before the commit, the old data remains, and the server forgets the staged entries.

use std::{ops::ControlFlow, time::Duration};

use bytes::BytesMut;
use tokio::runtime::Runtime;

use super::{
    connect::TarantoolConnector,
    connection::{TarantoolConnection, returned},
    msgpack::{Malformed, Reader, Text, put_array, put_text, put_uint},
};
use crate::{
    resolver::Resolver,
    store::{
        BackendError, Bulk, Changes, PutError, Stored, Watch,
        bulk::{
            Change,
            pieces::{PAGE, PROGRESS_WITHIN, blocking_runtime, by_pages, chunks, in_time},
        },
        url::TarantoolTarget,
    },
};

/// Entries of one write. The server answers nothing else meanwhile.
const STAGED_AT_ONCE: usize = 250;

/// A connection to one server, for one thread that blocks on it.
pub(in crate::store) struct TarantoolBulk {
    // Before the runtime, which its driver needs.
    connection: TarantoolConnection,
    runtime: Runtime,
}

/// One entry of a page.
type Entry = (String, Stored);

// ===== impl TarantoolBulk =====

impl TarantoolBulk {
    /// Connects and logs in, within `limit`.
    pub(in crate::store) fn connect(
        target: &TarantoolTarget,
        limit: Duration,
        resolver: &Resolver,
    ) -> Result<Self, BackendError> {
        let runtime = blocking_runtime()?;
        let connector = TarantoolConnector::new(target.clone(), limit, resolver.clone());
        let connection = runtime.block_on(connector.establish(PROGRESS_WITHIN))?;
        Ok(Self { connection, runtime })
    }

    async fn write(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        let import = format!("{:032x}", fastrand::u128(..));
        let written = match self.stage(&import, &changes.all(), watch).await {
            Ok(()) if watch.may_commit() => self.commit(&import, changes.len()).await,
            Ok(()) => Err(PutError::CalledOff),
            Err(error) => Err(error.into()),
        };
        if let Err(PutError::CalledOff | PutError::NotWritten(_)) = written {
            let put = |out: &mut BytesMut| put_text(&[import.as_bytes()], out);
            // So that the staged entries take no memory. If this fails, the server forgets them later.
            let _ = in_time(self.connection.functions.call("import_cancel", 1, put)).await;
        }
        written
    }

    /// Sends the changes, which no reader sees yet.
    async fn stage(
        &self,
        import: &str,
        changes: &[Change<'_>],
        watch: &dyn Watch,
    ) -> Result<(), BackendError> {
        for chunk in chunks(changes, STAGED_AT_ONCE) {
            let put = |out: &mut BytesMut| {
                put_text(&[import.as_bytes()], out);
                put_array(chunk.len(), out);
                for (key, value) in chunk {
                    put_array(1 + usize::from(value.is_some()), out);
                    put_text(&[key.as_bytes()], out);
                    value.iter().for_each(|value| put_text(&[value], out));
                }
            };
            in_time(self.connection.functions.call("import_stage", 2, put)).await?;
            watch.written(chunk.len());
        }
        Ok(())
    }

    /// Shows `count` staged changes to all readers.
    async fn commit(&self, import: &str, count: usize) -> Result<(), PutError> {
        let put = |out: &mut BytesMut| {
            put_text(&[import.as_bytes()], out);
            put_uint(count as u64, out);
        };
        match in_time(self.connection.functions.call("import_commit", 2, put)).await {
            Ok(_) => Ok(()),
            // The server has answered, so nothing was committed.
            Err(
                error @ (BackendError::Refused { .. }
                | BackendError::Denied { .. }
                | BackendError::WritesRefused { .. }
                | BackendError::TooManyWrites
                | BackendError::ReadOnly
                | BackendError::NotServing { .. }),
            ) => Err(error.into()),
            Err(error) => Err(PutError::Unknown(error)),
        }
    }

    /// The values of `keys`; fewer at once if they are too large together.
    async fn values(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        match in_time(self.connection.functions.values(keys)).await {
            Err(BackendError::TooLarge) if keys.len() > 1 => {
                let (one, other) = keys.split_at(keys.len() / 2);
                let mut found = Box::pin(self.values(one)).await?;
                found.extend(Box::pin(self.values(other)).await?);
                Ok(found)
            }
            values => values,
        }
    }

    /// The entries after the key `after` that start with `prefix`, in the order of their keys. None if there are none.
    async fn page(&self, prefix: &str, after: &str) -> Result<Vec<Entry>, BackendError> {
        let put = |out: &mut BytesMut| {
            put_text(&[prefix.as_bytes()], out);
            put_text(&[after.as_bytes()], out);
            put_uint(PAGE as u64, out);
        };
        let data = in_time(self.connection.functions.call("page", 3, put)).await?;
        entries(&mut returned(&data)?).map_err(|Malformed| BackendError::Protocol)
    }
}

fn entries(reader: &mut Reader<'_>) -> Result<Vec<Entry>, Malformed> {
    let mut entries = Vec::new();
    for _ in 0..reader.array()? {
        if reader.array()? != 2 {
            return Err(Malformed);
        }
        let Text::Bytes(key) = reader.text()? else { return Err(Malformed) };
        let key = String::from_utf8(key.to_vec()).map_err(|_| Malformed)?;
        let stored = match reader.text()? {
            Text::Bytes(value) => Stored::Value(value.to_vec()),
            Text::Nil | Text::OtherKind => Stored::WrongKind,
        };
        entries.push((key, stored));
    }
    Ok(entries)
}

impl Bulk for TarantoolBulk {
    fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        self.runtime.block_on(self.write(changes, watch))
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        self.runtime.block_on(by_pages(keys, async |page| self.values(page).await))
    }

    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let mut after = String::new();
        loop {
            let page = self.runtime.block_on(self.page(prefix, &after))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            // Keys rise, so this ends.
            if *last <= after {
                return Err(BackendError::Protocol);
            }
            after.clone_from(last);
            for (key, stored) in page {
                if visit(&key, stored).is_break() {
                    return Ok(());
                }
            }
        }
    }
}
