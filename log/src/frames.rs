//! A finished log on disk: independent zstd frames and an index of their sizes, in the "seekable
//! format" of the zstd project (contrib/seekable_format): `zstd -d` reads it as any other file.
//!
//! The index is one skippable frame at the end: for each frame its compressed and its plain size
//! (two little-endian u32), then the number of frames (u32), a byte of flags (0) and a magic number.

use crate::read::ReadAt;
use std::io::{self, Read, Write};

/// Plain bytes of each frame but the last.
pub const FRAME: usize = 256 * 1024;
/// No frame may say that it has more: a damaged or hostile file may not cost memory.
const FRAME_MAX: u32 = 1 << 20;
/// The magic number of the skippable frame that holds the index.
const SKIPPABLE: u32 = 0x184D_2A5E;
/// The last four bytes of the file.
const SEEKABLE: u32 = 0x8F92_EAB1;
/// The number of frames, the flags, the magic number.
const FOOTER: usize = 9;
const ENTRY: usize = 8;
/// Entries of the index that are read at once.
const ENTRIES_AT_ONCE: u32 = 1024;
/// Logs are mostly repetition: a higher level costs more time than it saves room.
const LEVEL: i32 = 3;

/// Writes frames.
pub struct Frames<W: Write> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    index: Vec<u8>,
    plain: Vec<u8>,
}

impl<W: Write> Frames<W> {
    /// Writes frames into `out`.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(out: W) -> io::Result<Frames<W>> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        Ok(Frames {
            out,
            compressor,
            index: Vec::new(),
            plain: Vec::with_capacity(FRAME),
        })
    }

    /// Takes all that a reader gives.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn copy(&mut self, from: &mut impl Read) -> io::Result<()> {
        loop {
            let room = (FRAME - self.plain.len()) as u64;
            if from.by_ref().take(room).read_to_end(&mut self.plain)? == 0 {
                return Ok(());
            }
            if self.plain.len() == FRAME {
                self.frame()?;
            }
        }
    }

    fn frame(&mut self) -> io::Result<()> {
        let packed = self.compressor.compress(&self.plain)?;
        for size in [packed.len(), self.plain.len()] {
            let size = u32::try_from(size).map_err(|_| damaged("a frame is too large"))?;
            self.index.extend_from_slice(&size.to_le_bytes());
        }
        self.plain.clear();
        self.out.write_all(&packed)
    }

    /// Writes the last frame and the index.
    ///
    /// # Errors
    /// When they cannot be written, or there are more frames than the format can tell.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.plain.is_empty() {
            self.frame()?;
        }
        let too_many = |_| damaged("too many frames");
        let n_frames = u32::try_from(self.index.len() / ENTRY).map_err(too_many)?;
        let size = u32::try_from(self.index.len() + FOOTER).map_err(too_many)?;
        self.out.write_all(&SKIPPABLE.to_le_bytes())?;
        self.out.write_all(&size.to_le_bytes())?;
        self.out.write_all(&self.index)?;
        self.out.write_all(&n_frames.to_le_bytes())?;
        self.out.write_all(&[0])?;
        self.out.write_all(&SEEKABLE.to_le_bytes())?;
        Ok(self.out)
    }
}

fn damaged(what: &str) -> io::Error {
    let message = format!("the stored log is damaged: {what}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Reads frames; holds one of them and a page of the index, whatever the size of the log.
#[derive(Debug)]
pub(crate) struct Framed {
    file: Box<dyn ReadAt>,
    index_at: u64,
    n_frames: u32,
    size: u64,
    /// The frame that was looked for last.
    here: Frame,
    /// A page of the index, and the frame of its first entry.
    page: (u32, Vec<u8>),
    /// The plain bytes of a frame, and which.
    text: (Option<u32>, Vec<u8>),
}

/// A frame, and where it begins in the file and in the log.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    no: u32,
    at: u64,
    from: u64,
}

impl Framed {
    /// Opens frames of so many bytes and looks through their index.
    ///
    /// # Errors
    /// When they cannot be read, or their index does not fit them.
    pub(crate) fn open(mut file: Box<dyn ReadAt>, length: u64) -> io::Result<Framed> {
        let mut footer = [0u8; FOOTER];
        let footer_at = length.checked_sub(FOOTER as u64);
        let footer_at = footer_at.ok_or_else(|| damaged("it has no index"))?;
        file.read_exact_at(&mut footer, footer_at)?;
        let n_frames = word(&footer, 0);
        if word(&footer, 5) != SEEKABLE || footer[4] != 0 {
            return Err(damaged("it has no index"));
        }
        let index_at = footer_at.checked_sub(u64::from(n_frames) * ENTRY as u64);
        let index_at = index_at.ok_or_else(|| damaged("its index is cut"))?;
        let mut framed = Framed {
            file,
            index_at,
            n_frames,
            size: 0,
            here: Frame::default(),
            page: (0, Vec::new()),
            text: (None, Vec::new()),
        };
        let end = framed.walk(u64::MAX)?;
        // Eight bytes stand between the last frame and the index.
        if end.at + 8 != index_at {
            return Err(damaged("its index does not fit its frames"));
        }
        framed.size = end.from;
        framed.here = Frame::default();
        Ok(framed)
    }

    /// Plain bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Goes on to the frame that holds a place, or to the end.
    fn walk(&mut self, place: u64) -> io::Result<Frame> {
        if place < self.here.from {
            self.here = Frame::default();
        }
        while self.here.no < self.n_frames {
            let (packed, plain) = self.entry(self.here.no)?;
            if place - self.here.from < u64::from(plain) {
                break;
            }
            self.here = Frame {
                no: self.here.no + 1,
                at: self.here.at + u64::from(packed),
                from: self.here.from + u64::from(plain),
            };
        }
        Ok(self.here)
    }

    /// The sizes of a frame, packed and plain.
    fn entry(&mut self, no: u32) -> io::Result<(u32, u32)> {
        let first = no - no % ENTRIES_AT_ONCE;
        if self.page.0 != first || self.page.1.is_empty() {
            let n = ENTRIES_AT_ONCE.min(self.n_frames - first);
            self.page = (first, vec![0; n as usize * ENTRY]);
            let at = self.index_at + u64::from(first) * ENTRY as u64;
            self.file.read_exact_at(&mut self.page.1, at)?;
        }
        let at = (no - first) as usize * ENTRY;
        let (packed, plain) = (word(&self.page.1, at), word(&self.page.1, at + 4));
        if packed > 2 * FRAME_MAX || plain > FRAME_MAX || plain == 0 {
            return Err(damaged("a frame has an impossible size"));
        }
        Ok((packed, plain))
    }

    /// Plain bytes from a place to the end of its frame; none at the end of the log.
    ///
    /// # Errors
    /// When the file cannot be read, or a frame is not what the index says.
    pub(crate) fn piece(&mut self, from: u64) -> io::Result<&[u8]> {
        let frame = self.walk(from)?;
        if frame.no >= self.n_frames {
            return Ok(&[]);
        }
        if self.text.0 != Some(frame.no) {
            self.text.0 = None;
            self.unpack(frame)?;
            self.text.0 = Some(frame.no);
        }
        let skip = usize::try_from(from - frame.from).unwrap_or(usize::MAX);
        Ok(self.text.1.get(skip..).unwrap_or(&[]))
    }

    fn unpack(&mut self, frame: Frame) -> io::Result<()> {
        let (packed, plain) = self.entry(frame.no)?;
        let mut bytes = vec![0; packed as usize];
        self.file.read_exact_at(&mut bytes, frame.at)?;
        let text = zstd::bulk::decompress(&bytes, plain as usize);
        let text = text.map_err(|err| damaged(&format!("frame {}: {err}", frame.no)))?;
        if text.len() != plain as usize {
            return Err(damaged(&format!("frame {} has another size", frame.no)));
        }
        self.text.1 = text;
        Ok(())
    }
}

/// A little-endian u32 at a place that is known to be inside.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}
