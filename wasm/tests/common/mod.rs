//! Modules built from source, and a runtime with a cache of its own.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by tests, which may panic"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use tidemill_wasm::{End, Failure, Grants, Limits, Output, Request, Runtime, Settings};

/// A folder of this test process, removed by the system's own cleaning.
fn built() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/modules")
        .join(name)
}

fn call(command: &mut Command, needs: &str) {
    let output = command.output();
    let output = output.unwrap_or_else(|err| panic!("{needs}: {err} (scripts/install-test-needs)"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A module of C.
pub fn c(name: &str) -> PathBuf {
    let out = built().join(format!("{name}-{:?}.wasm", std::thread::current().id()));
    call(
        Command::new("clang")
            .args(["--target=wasm32-wasi", "-O1", "-o"])
            .arg(&out)
            .arg(source(&format!("{name}.c"))),
        "clang and wasi-libc",
    );
    out
}

/// A module of Rust, by the system's compiler, which has the target.
pub fn rust(name: &str) -> PathBuf {
    let out = built().join(format!("{name}-rust.wasm"));
    // Its name since Rust 1.78, or the one before.
    let is_new = Path::new("/usr/lib/rustlib/wasm32-wasip1").exists();
    let target = if is_new {
        "wasm32-wasip1"
    } else {
        "wasm32-wasi"
    };
    call(
        Command::new("/usr/bin/rustc")
            .args([
                "--target",
                target,
                "-O",
                "-C",
                "linker=wasm-ld",
                "-C",
                "strip=symbols",
                "-o",
            ])
            .arg(&out)
            .arg(source(&format!("{name}.rs"))),
        "rustc with libstd-rust-dev-wasm32",
    );
    out
}

/// A module of the text format.
pub fn text(name: &str, wat: &str) -> PathBuf {
    bytes(name, &wat::parse_str(wat).unwrap())
}

/// A file of these bytes.
pub fn bytes(name: &str, bytes: &[u8]) -> PathBuf {
    let out = built().join(format!("{name}.wasm"));
    std::fs::write(&out, bytes).unwrap();
    out
}

/// A component of preview 2 of a module of preview 1; `wit` is what else it imports.
pub fn component(name: &str, wit: Option<&str>) -> PathBuf {
    let mut module = std::fs::read(c(name)).unwrap();
    if let Some(wit) = wit {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_file(source(wit)).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            wit_component::StringEncoding::UTF8,
        )
        .unwrap();
    }
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
    let encoded = wit_component::ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .adapter("wasi_snapshot_preview1", adapter)
        .unwrap()
        .encode()
        .unwrap();
    bytes(&format!("{name}-component"), &encoded)
}

/// What a module has said.
#[derive(Default)]
pub struct Said(Mutex<Vec<u8>>);

/// More is dropped.
const SAID_MAX: usize = 1 << 20;

impl Output for Said {
    fn write(&self, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap();
        let room = SAID_MAX - said.len();
        said.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// A runtime, and what the last module has said.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub runtime: Arc<Runtime>,
    pub stdout: Arc<Said>,
    pub stderr: Arc<Said>,
    pub limits: Limits,
}

pub fn settings(cache: &Path) -> Settings {
    Settings {
        compiler: env!("CARGO_BIN_EXE_compile_for_tests").into(),
        ..Settings::new(cache)
    }
}

/// One cache for all tests of a process, so that each module is compiled once.
pub fn shared_cache() -> PathBuf {
    built().join("cache")
}

impl Place {
    pub fn new() -> Place {
        Place::with(settings(&shared_cache()))
    }

    pub fn with(settings: Settings) -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            runtime: Runtime::new(settings),
            stdout: Arc::default(),
            stderr: Arc::default(),
            limits: Limits::default(),
        }
    }

    pub fn request(&mut self, module: &Path, grants: Grants) -> Request {
        self.stdout = Arc::default();
        self.stderr = Arc::default();
        Request {
            module: module.to_path_buf(),
            function: None,
            grants,
            limits: self.limits.clone(),
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
        }
    }

    pub async fn run(&mut self, module: &Path, grants: Grants) -> Result<End, Failure> {
        let request = self.request(module, grants);
        self.runtime.run(request).await
    }
}

pub fn args(args: &[&str]) -> Grants {
    let name = ["probe"].iter().chain(args);
    Grants {
        args: name.map(|arg| arg.to_string()).collect(),
        ..Grants::default()
    }
}
