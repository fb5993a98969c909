//! From a file to something that can be instantiated at once.

use crate::cache::{self, Cache};
use crate::compile::compile_apart;
use crate::engine::Shared;
use crate::run::{ComponentState, CoreState, Failure, Why};
use crate::{MODULE_MAX, Settings};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::{self, Component};
use wasmtime::{InstancePre, Linker, Module};

/// Modules that stay loaded.
const LOADED_MAX: usize = 64;

pub(crate) const NOT_WASM: &str =
    "it is neither a WebAssembly module nor a component (a text file has to be assembled first)";

/// Is it a component? `None` when it is not WebAssembly at all.
pub(crate) fn is_component(bytes: &[u8]) -> Option<bool> {
    match bytes.get(..8)? {
        [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(false),
        // Any version of the second layer; the compiler says which it takes.
        [0, b'a', b's', b'm', _, _, 1, 0] => Some(true),
        _ => None,
    }
}

/// A module that is compiled and linked with all that a module can be given.
pub(crate) enum Loaded {
    Core(InstancePre<CoreState>),
    Component(component::InstancePre<ComponentState>),
}

/// Which file: as long as nobody writes it, it has the same content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileKey {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_fuelled: bool,
}

/// The modules that were used last.
#[derive(Default)]
pub(crate) struct Modules {
    /// The one that was used last stands last.
    loaded: Mutex<Vec<(FileKey, Arc<Loaded>)>>,
    /// One at a time is compiled.
    turn: tokio::sync::Mutex<()>,
}

impl Modules {
    /// A module that can be instantiated.
    pub(crate) async fn load(
        &self,
        settings: &Settings,
        engine: &Shared,
        path: &Path,
    ) -> Result<Arc<Loaded>, Failure> {
        let (file, key) = open(path, engine.is_fuelled)?;
        if let Some(loaded) = self.find(key) {
            return Ok(loaded);
        }
        let _turn = self.turn.lock().await;
        if let Some(loaded) = self.find(key) {
            return Ok(loaded); // while this one waited
        }
        let (settings, engine) = (settings.clone(), engine.clone());
        let made = tokio::task::spawn_blocking(move || load(&settings, &engine, file)).await;
        let loaded = made.map_err(|err| Failure::new(Why::Host, err.to_string()))??;
        let loaded = Arc::new(loaded);
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == LOADED_MAX {
            all.remove(0);
        }
        all.push((key, Arc::clone(&loaded)));
        Ok(loaded)
    }

    fn find(&self, key: FileKey) -> Option<Arc<Loaded>> {
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| *other == key)?;
        let found = all.remove(at);
        let loaded = Arc::clone(&found.1);
        all.push(found);
        Some(loaded)
    }
}

fn open(path: &Path, is_fuelled: bool) -> Result<(File, FileKey), Failure> {
    let failed = |what: String| Failure::new(Why::Module, format!("{}: {what}", path.display()));
    let found = std::fs::metadata(path).map_err(|err| failed(err.to_string()))?;
    if !found.is_file() {
        return Err(failed("it is not a file".to_string()));
    }
    let file = File::open(path).map_err(|err| failed(err.to_string()))?;
    let found = file.metadata().map_err(|err| failed(err.to_string()))?;
    if found.len() > MODULE_MAX {
        return Err(failed(format!(
            "it has {} bytes; a module may have {} MiB",
            found.len(),
            MODULE_MAX >> 20
        )));
    }
    let key = FileKey {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
        is_fuelled,
    };
    Ok((file, key))
}

/// Reads a module, takes its code from the cache or has it made, and links it.
fn load(settings: &Settings, engine: &Shared, mut file: File) -> Result<Loaded, Failure> {
    let mut bytes = Vec::new();
    (&mut file)
        .take(MODULE_MAX)
        .read_to_end(&mut bytes)
        .map_err(|err| Failure::new(Why::Module, format!("cannot read the module: {err}")))?;
    let is_component = is_component(&bytes).ok_or_else(|| Failure::new(Why::Module, NOT_WASM))?;
    let cache = Cache::open(&settings.cache)?;
    let name = cache::name(&bytes, environment(engine));
    if let Some(code) = cache.get(&name)
        && let Ok(loaded) = link(engine, &code, is_component)
    {
        return Ok(loaded);
    }
    // The very bytes that were hashed, whatever becomes of the file.
    let module = memory_file(&bytes)
        .map_err(|err| Failure::new(Why::Host, format!("cannot hand the module over: {err}")))?;
    let code = compile_apart(settings, &cache, &name, &module, engine.is_fuelled)?;
    cache.put(&name, &code)?;
    link(engine, &code, is_component)
}

/// All that code depends on besides the module: wasmtime's version and settings, the processor.
fn environment(engine: &Shared) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine
        .engine
        .precompile_compatibility_hash()
        .hash(&mut hasher);
    hasher.finish()
}

fn memory_file(bytes: &[u8]) -> std::io::Result<File> {
    use std::io::{Seek, Write};
    let fd = rustix::fs::memfd_create("module", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn link(engine: &Shared, code: &[u8], is_component: bool) -> Result<Loaded, Failure> {
    let engine = &engine.engine;
    let loaded = if is_component {
        component(engine, code).map(Loaded::Component)
    } else {
        core(engine, code).map(Loaded::Core)
    };
    loaded.map_err(|err| Failure::new(Why::Module, format!("the module cannot be used: {err:#}")))
}

#[allow(unsafe_code, reason = "the only way to load compiled code")]
fn core(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<InstancePre<CoreState>> {
    // SAFETY: the code was made by the compiler process of this program a moment ago, or its seal
    // says that it was; it is read into memory of ours, so nobody can change it afterwards.
    let module = unsafe { Module::deserialize(engine, code)? };
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |state: &mut CoreState| &mut state.wasi)?;
    linker.instantiate_pre(&module)
}

#[allow(unsafe_code, reason = "the only way to load compiled code")]
fn component(
    engine: &wasmtime::Engine,
    code: &[u8],
) -> wasmtime::Result<component::InstancePre<ComponentState>> {
    // SAFETY: as above.
    let module = unsafe { Component::deserialize(engine, code)? };
    let mut linker = component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.instantiate_pre(&module)
}
