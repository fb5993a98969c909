//! What a module may use of the machine.

use wasmtime::ResourceLimiter;

/// The most memory a module of 32 bits can have.
pub(crate) const MEMORY_MAX: u64 = 4 << 30;
/// The most entries of all its tables: a table of a large program has some ten thousand.
pub(crate) const TABLE_MAX: usize = 100_000;
/// Instances, tables and memories of one module; a component has several of each.
const PARTS_MAX: usize = 32;

/// What a module may use. Wall time is not here: who drops the run ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, over all its memories.
    pub memory: u64,
    /// Instructions, as wasmtime counts fuel; not counted when `None`, which is faster.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 256 << 20,
            fuel: None,
        }
    }
}

/// Which limit a module has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// So many bytes of memory were wanted.
    Memory(u64),
    /// So many entries of tables.
    Table(usize),
}

/// Watches one instance.
#[derive(Debug)]
pub(crate) struct Watch {
    memory_max: u64,
    memory: u64,
    table: usize,
    /// The limit that it has met, if it has.
    pub(crate) met: Option<Met>,
}

impl Watch {
    pub(crate) fn new(limits: &Limits) -> Watch {
        Watch {
            memory_max: limits.memory.min(MEMORY_MAX),
            memory: 0,
            table: 0,
            met: None,
        }
    }
}

impl ResourceLimiter for Watch {
    /// More than its limit ends a module. To say no would be gentler, but most programs then end
    /// with a message of their own, and nobody learns why.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory + desired as u64 - current as u64;
        if wanted > self.memory_max {
            self.met = Some(Met::Memory(wanted));
            return Err(wasmtime::Error::msg("too much memory"));
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.table + desired - current;
        if wanted > TABLE_MAX {
            self.met = Some(Met::Table(wanted));
            return Err(wasmtime::Error::msg("too large a table"));
        }
        self.table = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}
