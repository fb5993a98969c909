//! Writing the log of one try while its task runs.

pub(crate) mod last;
pub(crate) mod sink;
pub(crate) mod thread;
