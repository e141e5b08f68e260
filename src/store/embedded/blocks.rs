//! The embedded file as blocks with a checksum each, below redb.
//!
//! redb compares its checksums when it repairs a file, not when it reads one. So it uses this backend, which verifies
//! each byte that is read: a flipped bit, a block of zeros or a cut can neither change a value, nor lead a look-up
//! past an existing key, nor make redb follow a page number that it never wrote.
//!
//! ```text
//! 0     header, first copy     magic, number, redb's header, xxh3 of these
//! 4096  header, second copy    the same
//! 8192  block 1, block 2, …    each xxh3 of the block, seeded with its number, and 4096 bytes
//! ```
//!
//! A header is written to the first copy, then to the second, so one of them is complete at any moment, and a damaged
//! copy has a twin. The valid copy with the greatest number counts.

use std::{
    fs::File,
    io::{self, ErrorKind},
    ops::Bound,
    sync::Arc,
};

use redb::{BackendError, StorageBackend, backends::FileBackend};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::disk::Disk;

/// The first bytes of both copies of the header.
pub(super) const MAGIC: &[u8; 16] = b"scoring\x1a\r\nblock1";
/// The size of redb's pages, and of a block's contents.
const BLOCK: usize = 4096;
const SUM: usize = 8;
const STRIDE: usize = SUM + BLOCK;
/// The places of the copies of the header, and of the first block.
const COPIES: [u64; 2] = [0, BLOCK as u64];
const BLOCKS_AT: u64 = 2 * BLOCK as u64;
/// The part of redb's first page that is kept; its header has 320 bytes.
const HEADER: usize = 512;
const NUMBER_AT: usize = MAGIC.len();
const HEADER_AT: usize = NUMBER_AT + 8;
const HEADER_SUM_AT: usize = HEADER_AT + HEADER;
const COPY: usize = HEADER_SUM_AT + SUM;

/// redb's header: the byte of flags, and the flag that a writer has the file open or died while it had.
const FLAGS_AT: usize = 9;
const RECOVERY: u8 = 2;
const TWO_PHASE_COMMIT: u8 = 4;

/// An open file.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    /// The same open file, for its locks.
    locks: FileBackend,
    is_for_reading: bool,
    disk: Arc<dyn Disk>,
}

// ===== impl Blocks =====

impl Blocks {
    pub(super) fn new(file: File, is_for_reading: bool, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let locks = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(Self { file, locks, is_for_reading, disk })
    }

    /// Reads into `out`. A file that ends too early is damaged, which is not a system error.
    fn read_whole(&self, out: &mut [u8], at: u64) -> io::Result<bool> {
        match self.disk.read_exact_at(&self.file, out, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The number and contents of the header's newest valid copy.
    fn header(&self) -> io::Result<Option<(u64, [u8; HEADER])>> {
        let mut newest: Option<(u64, [u8; HEADER])> = None;
        for at in COPIES {
            let mut copy = [0; COPY];
            if !self.read_whole(&mut copy, at)? {
                continue;
            }
            let Some((number, header)) = verified(&copy) else { continue };
            if newest.is_none_or(|(newest, _)| newest < number) {
                newest = Some((number, header));
            }
        }
        Ok(newest)
    }

    fn read_header(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        let damaged = || io::Error::new(ErrorKind::InvalidData, "both copies of the header are damaged");
        let (_, mut header) = self.header()?.ok_or_else(damaged)?;
        // A commit is complete once the header names it. So a reader needs no recovery after a writer died: recovery
        // only rebuilds the record of free pages.
        if let Some(flags) = header.get_mut(FLAGS_AT)
            && self.is_for_reading
            && *flags & TWO_PHASE_COMMIT != 0
        {
            *flags &= !RECOVERY;
        }
        let part = header.get(at..at + out.len()).ok_or(ErrorKind::InvalidInput)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn write_header(&self, at: usize, data: &[u8]) -> io::Result<()> {
        let (number, mut header) = self.header()?.unwrap_or((0, [0; HEADER]));
        header.get_mut(at..at + data.len()).ok_or(ErrorKind::InvalidInput)?.copy_from_slice(data);
        let mut copy = Vec::with_capacity(COPY);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&(number + 1).to_le_bytes());
        copy.extend_from_slice(&header);
        copy.extend_from_slice(&xxh3_64(&copy).to_le_bytes());
        COPIES.iter().try_for_each(|&at| self.disk.write_all_at(&self.file, &copy, at))
    }
}

/// The number and contents of a copy of the header; `None` if it is damaged.
fn verified(copy: &[u8; COPY]) -> Option<(u64, [u8; HEADER])> {
    let (contents, sum) = copy.split_at_checked(HEADER_SUM_AT)?;
    if !contents.starts_with(MAGIC) || sum != xxh3_64(contents).to_le_bytes() {
        return None;
    }
    let number = contents.get(NUMBER_AT..HEADER_AT)?.try_into().ok()?;
    Some((u64::from_le_bytes(number), contents.get(HEADER_AT..)?.try_into().ok()?))
}

/// The number of the first block of a page at `offset` in redb's view, counted from 1, and its place in the file.
fn place(offset: u64) -> io::Result<(u64, u64)> {
    let number = offset / BLOCK as u64;
    if number == 0 || !offset.is_multiple_of(BLOCK as u64) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok((number, BLOCKS_AT + (number - 1) * STRIDE as u64))
}

/// Creates a page that redb reports as corrupted and cannot serve anything from: a branch whose children have an
/// impossible order. An error of [`StorageBackend::read`] would close the file for all clients.
fn poison(page: &mut [u8]) {
    const BRANCH_OF_TWO: [u8; 8] = [2, 0, 1, 0, 0, 0, 0, 0];
    const CHILDREN: std::ops::Range<usize> = 40..56;
    const KEY_END: std::ops::Range<usize> = 56..60;
    page.fill(0);
    let parts = [(0..8, &BRANCH_OF_TWO[..]), (CHILDREN, &[0xFF; 16]), (KEY_END, &60u32.to_le_bytes())];
    for (range, bytes) in parts {
        if let Some(part) = page.get_mut(range) {
            part.copy_from_slice(bytes);
        }
    }
}

impl StorageBackend for Blocks {
    fn len(&self) -> io::Result<u64> {
        let length = self.file.metadata()?.len();
        let blocks = length.saturating_sub(BLOCKS_AT) / STRIDE as u64;
        Ok(if length == 0 { 0 } else { (1 + blocks) * BLOCK as u64 })
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset < BLOCK as u64 {
            return self.read_header(usize::try_from(offset).unwrap_or(usize::MAX), out);
        }
        let (first, at) = place(offset)?;
        let mut stored = vec![0; out.len().div_ceil(BLOCK) * STRIDE];
        let mut is_whole = self.read_whole(&mut stored, at)?;
        for ((number, stored), out) in (first..).zip(stored.chunks_exact(STRIDE)).zip(out.chunks_mut(BLOCK)) {
            let (sum, block) = stored.split_at(SUM);
            is_whole =
                is_whole && sum == xxh3_64_with_seed(block, number).to_le_bytes() && out.len() == BLOCK;
            if !is_whole {
                break;
            }
            out.copy_from_slice(block);
        }
        if !is_whole {
            poison(out);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (_, end) = place(len)?;
        self.file.set_len(end)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < BLOCK as u64 {
            return self.write_header(usize::try_from(offset).unwrap_or(usize::MAX), data);
        }
        let (first, at) = place(offset)?;
        if !data.len().is_multiple_of(BLOCK) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut stored = Vec::with_capacity(data.len() / BLOCK * STRIDE);
        for (number, block) in (first..).zip(data.chunks_exact(BLOCK)) {
            stored.extend_from_slice(&xxh3_64_with_seed(block, number).to_le_bytes());
            stored.extend_from_slice(block);
        }
        self.disk.write_all_at(&self.file, &stored, at)
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.query_lock_range(start, end)
    }
}
