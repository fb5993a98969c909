//! Bytes of a log from any place on, in either form.

use crate::frames::Framed;
use crate::stored_path;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Something that can be read at any place: a file, or an object in an archive.
pub trait ReadAt: Debug + Send {
    /// Fills the buffer with what lies from this byte on.
    ///
    /// # Errors
    /// When it cannot be read, or ends before the buffer is full.
    fn read_exact_at(&mut self, into: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&mut self, into: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, into, at)
    }
}

/// Where a log is, if it is there: a name on this machine, or one in an archive.
pub trait LogSource: Debug + Send + Sync {
    /// Opens the log; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or nobody can tell.
    fn open(&self) -> io::Result<Option<Log>>;
}

impl LogSource for Path {
    fn open(&self) -> io::Result<Option<Log>> {
        Log::open(self)
    }
}

impl LogSource for PathBuf {
    fn open(&self) -> io::Result<Option<Log>> {
        Log::open(self)
    }
}

/// An open log. Places are bytes of its text, the same in both forms, so that they stay good
/// when a finished log becomes frames. What was opened stays readable, whatever becomes of its name.
#[derive(Debug)]
pub struct Log {
    source: Source,
    size: u64,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Framed(Box<Framed>),
}

impl Log {
    /// Opens the log of this name; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Log>> {
        // In this order: the plain file goes away only after the frames have their name.
        if let Some(file) = found(File::open(path))? {
            let size = file.metadata()?.len();
            let source = Source::Plain(file);
            return Ok(Some(Log { source, size }));
        }
        let Some(file) = found(File::open(stored_path(path)))? else {
            return Ok(None);
        };
        let length = file.metadata()?.len();
        Log::of_frames(Box::new(file), length).map(Some)
    }

    /// Opens a log that lies somewhere as frames, so many bytes of them.
    ///
    /// # Errors
    /// When they cannot be read or are damaged.
    pub fn of_frames(frames: Box<dyn ReadAt>, length: u64) -> io::Result<Log> {
        let framed = Framed::open(frames, length)?;
        Ok(Log {
            size: framed.size(),
            source: Source::Framed(Box::new(framed)),
        })
    }

    /// Bytes of text when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes from a place on: `at_most` of them, fewer at the end.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn bytes(&mut self, from: u64, at_most: usize) -> io::Result<Vec<u8>> {
        let wanted = self.size.saturating_sub(from).min(at_most as u64);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(wanted);
        match &mut self.source {
            Source::Plain(file) => {
                bytes.resize(wanted, 0);
                let mut read = 0;
                while read < wanted {
                    match file.read_at(&mut bytes[read..], from + read as u64) {
                        Ok(0) => break,
                        Ok(n) => read += n,
                        Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                        Err(err) => return Err(err),
                    }
                }
                bytes.truncate(read);
            }
            Source::Framed(framed) => {
                while bytes.len() < wanted {
                    let piece = framed.piece(from + bytes.len() as u64)?;
                    if piece.is_empty() {
                        break;
                    }
                    let room = wanted - bytes.len();
                    bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                }
            }
        }
        Ok(bytes)
    }
}

fn found(result: io::Result<File>) -> io::Result<Option<File>> {
    match result {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}
