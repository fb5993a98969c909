//! Reading a log where it is: by ranges, a few blocks of which are held.

use crate::{Archive, ArchiveError};
use bytes::Bytes;
use object_store::path::Path as Place;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;
use tidemill_log::{Log, LogSource, ReadAt};
use tokio::runtime::Handle;

/// Bytes of one request.
const BLOCK: u64 = 1 << 20;
/// Blocks that are held: one of the index, the others of the log.
const BLOCKS_MAX: usize = 4;
/// Somebody waits: what takes longer is told as an error.
const READ_WAIT: Duration = Duration::from_secs(15);

/// A log in an archive. It is opened and read on threads that may wait, never on those of the
/// runtime.
#[derive(Clone, Debug)]
pub struct Archived {
    archive: Archive,
    place: Place,
    runtime: Handle,
}

impl Archive {
    /// A log by its place in a folder of logs. To be called within a runtime.
    pub fn log(&self, name: &Path) -> Archived {
        Archived {
            archive: self.clone(),
            place: self.place(name),
            runtime: Handle::current(),
        }
    }
}

impl LogSource for Archived {
    fn open(&self) -> io::Result<Option<Log>> {
        let asked = GetOptions {
            range: Some(GetRange::Suffix(BLOCK)),
            ..GetOptions::default()
        };
        let get = async {
            let found = self.archive.store.get_opts(&self.place, asked).await?;
            let (size, from) = (found.meta.size, found.range.start);
            Ok((size, from, found.bytes().await?))
        };
        let (size, from, bytes) = match self.wait(get) {
            Ok(found) => found,
            Err(Trouble::Gone) => return Ok(None),
            Err(Trouble::Other(err)) => return Err(err),
        };
        let object = Object {
            at: self.clone(),
            size,
            blocks: VecDeque::from([(from, bytes)]),
        };
        Log::of_frames(Box::new(object), size).map(Some)
    }
}

/// A log of which nobody can tell now whether it is there.
#[derive(Debug)]
pub struct Away(pub ArchiveError);

impl LogSource for Away {
    fn open(&self) -> io::Result<Option<Log>> {
        let message = self.0.to_string();
        Err(io::Error::new(io::ErrorKind::NotConnected, message))
    }
}

enum Trouble {
    Gone,
    Other(io::Error),
}

impl Archived {
    fn wait<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T, Trouble> {
        let done = async { tokio::time::timeout(READ_WAIT, work).await };
        match self.runtime.block_on(done) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(Trouble::Gone),
            Ok(Err(err)) => {
                let err = ArchiveError::new("be read", &err);
                Err(Trouble::Other(io::Error::new(
                    io::ErrorKind::NotConnected,
                    err,
                )))
            }
            Err(_) => {
                let message = "the archive of logs does not answer in time";
                Err(Trouble::Other(io::Error::new(
                    io::ErrorKind::NotConnected,
                    message,
                )))
            }
        }
    }
}

/// An object, and the blocks of it that were read last.
#[derive(Debug)]
struct Object {
    at: Archived,
    size: u64,
    /// Where each begins, and its bytes; the one that was used last is the first.
    blocks: VecDeque<(u64, Bytes)>,
}

impl ReadAt for Object {
    fn read_exact_at(&mut self, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
        while !into.is_empty() {
            let (from, block) = self.block(at)?;
            let there = usize::try_from(at - from)
                .ok()
                .and_then(|skip| block.get(skip..));
            let there = there.filter(|there| !there.is_empty());
            let there = there.ok_or(io::ErrorKind::UnexpectedEof)?;
            let n = there.len().min(into.len());
            into[..n].copy_from_slice(&there[..n]);
            into = &mut into[n..];
            at += n as u64;
        }
        Ok(())
    }
}

impl Object {
    /// The block that holds a byte.
    fn block(&mut self, at: u64) -> io::Result<&(u64, Bytes)> {
        let holds = |(from, bytes): &(u64, Bytes)| *from <= at && at - *from < bytes.len() as u64;
        match self.blocks.iter().position(holds) {
            Some(0) => {}
            Some(place) => {
                let block = self.blocks.remove(place);
                block
                    .into_iter()
                    .for_each(|block| self.blocks.push_front(block));
            }
            None => {
                let from = at - at % BLOCK;
                let range = from..self.size.min(from + BLOCK);
                if range.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let bytes = self.at.archive.store.get_range(&self.at.place, range);
                let bytes = self.at.wait(bytes).map_err(|trouble| match trouble {
                    Trouble::Gone => io::Error::from(io::ErrorKind::NotFound),
                    Trouble::Other(err) => err,
                })?;
                self.blocks.push_front((from, bytes));
                self.blocks.truncate(BLOCKS_MAX);
            }
        }
        self.blocks
            .front()
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
