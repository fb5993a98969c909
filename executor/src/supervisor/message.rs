//! What the worker and its supervisor tell each other: JSON over a socket that keeps message
//! borders, with descriptors beside it.

use crate::sys::{Exit, Ids, Limit};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// From the worker to its supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first message.
    Hello {
        /// The worker's process.
        worker: i32,
        /// How long it may be silent, in milliseconds.
        lease_ms: u64,
    },
    /// Start a task; stdout, stderr and perhaps stdin come as descriptors.
    Start(Box<Start>),
    /// End a task: TERM, its grace, KILL.
    Kill {
        /// Which.
        id: u64,
    },
    /// End all tasks at once.
    KillAll,
    /// The worker is alive.
    Beat,
}

/// How a task is started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The worker's number for it; never used again.
    pub id: u64,
    /// Its `TIDEMILL_ATTEMPT`.
    pub attempt: String,
    /// The program's file.
    pub path: String,
    /// Its arguments, the name first.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The folder it starts in.
    pub cwd: String,
    /// Its control group.
    pub group: Option<PathBuf>,
    /// Limits of each of its processes, by the kernel's number.
    pub limits: Vec<Limit>,
    /// Whom it becomes.
    pub user: Option<Ids>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
}

/// From the supervisor to its worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A task that lives longer than a moment.
    Started {
        /// Which.
        id: u64,
        /// Its process.
        pid: i32,
    },
    /// A task's tree is gone.
    Ended(Ending),
    /// A task could not be started.
    Refused {
        /// Which.
        id: u64,
        /// The step that failed.
        step: String,
        /// The system's number for why.
        errno: i32,
    },
}

/// How a task ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// Which.
    pub id: u64,
    /// Its main process.
    pub pid: i32,
    /// How that ended.
    pub exit: Exit,
    /// Did the kernel end one of its processes for want of memory?
    pub out_of_memory: bool,
    /// Why we ended it, if we did.
    pub cause: Option<Cause>,
}

/// Why the supervisor ended a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// Its time was over.
    Timeout,
    /// The worker said so.
    Kill,
}

/// Larger messages travel in a memory file.
const DIRECT_MAX: usize = 64 * 1024;
/// No message is larger.
const MESSAGE_MAX: u64 = 64 * 1024 * 1024;
const DESCRIPTORS_MAX: usize = 4;

/// Puts a message into bytes.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![b'J'];
    serde_json::to_writer(&mut bytes, message)?;
    Ok(bytes)
}

/// Sends what [`encode`] made, with at most three descriptors.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    if bytes.len() <= DIRECT_MAX {
        return send_direct(socket, bytes, fds, flags);
    }
    let mut file = memory_file(&bytes[1..])?;
    file.rewind()?;
    let mut all = fds.to_vec();
    all.push(file.as_fd());
    send_direct(socket, b"M", &all, flags)
}

/// A file without a name that holds `content`.
pub(crate) fn memory_file(content: &[u8]) -> io::Result<std::fs::File> {
    let fd = rustix::fs::memfd_create("tidemill", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(content)?;
    Ok(file)
}

fn send_direct(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    loop {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

/// What came in.
pub(crate) enum Received<T> {
    /// A message with its descriptors.
    Message(T, Vec<OwnedFd>),
    /// Nothing now.
    Empty,
    /// The other side is gone.
    Closed,
}

/// Memory to receive into.
pub(crate) fn receive_buffer() -> Vec<u8> {
    vec![0; DIRECT_MAX + 1]
}

/// Takes one message, without waiting.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Received<T>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(&socket, &mut parts, &mut control, flags) {
            Ok(got) => break got,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Received::Empty),
            Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Received::Closed),
            Err(err) => return Err(err.into()),
        }
    };
    let mut fds: Vec<OwnedFd> = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    match buffer[..got.bytes].split_first() {
        None => Ok(Received::Closed),
        Some((b'J', json)) => Ok(Received::Message(serde_json::from_slice(json)?, fds)),
        Some(_) => {
            let file = fds
                .pop()
                .ok_or_else(|| io::Error::other("a message without its file"))?;
            let mut json = Vec::new();
            std::fs::File::from(file)
                .take(MESSAGE_MAX)
                .read_to_end(&mut json)?;
            Ok(Received::Message(serde_json::from_slice(&json)?, fds))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    #[test]
    fn messages_of_any_size_arrive_whole_with_their_descriptors() {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let mut buffer = receive_buffer();
        for size in [1, DIRECT_MAX - 3, DIRECT_MAX, DIRECT_MAX * 40] {
            let text = "x".repeat(size);
            let bytes = encode(&text).unwrap();
            send(
                &a,
                &bytes,
                &[null.as_fd(), null.as_fd()],
                SendFlags::empty(),
            )
            .unwrap();
            match receive::<String>(&b, &mut buffer).unwrap() {
                Received::Message(got, fds) => {
                    assert_eq!(got, text);
                    assert_eq!(fds.len(), 2);
                }
                _ => panic!("no message of {size} bytes"),
            }
        }
        assert!(matches!(
            receive::<String>(&b, &mut buffer).unwrap(),
            Received::Empty
        ));
        drop(a);
        assert!(matches!(
            receive::<String>(&b, &mut buffer).unwrap(),
            Received::Closed
        ));
    }
}
