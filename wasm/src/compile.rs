//! Compiling in a process of its own: a compiler that eats all memory or never ends takes nobody
//! with it. The wasmtime project counts that as no fault of its own.

use crate::cache::{CODE_MAX, Cache, new_file};
use crate::engine::config;
use crate::run::{Failure, Why};
use crate::{COMPILE_ARGUMENT, CompileLimits, MODULE_MAX, Settings};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, setrlimit};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;
use wasmtime::Engine;

/// The most of its words that are kept.
const WORDS_MAX: u64 = 2000;
/// The word for code that counts fuel.
const FUELLED: &str = "fuel";

/// Compiles a module in another process and gives its code. Blocks.
pub(crate) fn compile_apart(
    settings: &Settings,
    cache: &Cache,
    name: &str,
    module: &File,
    is_fuelled: bool,
) -> Result<Vec<u8>, Failure> {
    let draft = cache.draft(&format!("{name}.code"));
    let words = cache.draft(&format!("{name}.words"));
    let compiled = run(settings, &draft, &words, module, is_fuelled).and_then(|status| {
        if status.success() {
            let mut code = Vec::new();
            File::open(&draft)?.take(CODE_MAX).read_to_end(&mut code)?;
            return Ok(Ok(code));
        }
        let mut said = String::new();
        File::open(&words)?
            .take(WORDS_MAX)
            .read_to_string(&mut said)?;
        Ok(Err(judge(&settings.compile, status, said.trim())))
    });
    let _ = std::fs::remove_file(&draft);
    let _ = std::fs::remove_file(&words);
    compiled.unwrap_or_else(|err| {
        let program = settings.compiler.display();
        Err(Failure::new(
            Why::Host,
            format!("cannot compile with {program}: {err}"),
        ))
    })
}

fn run(
    settings: &Settings,
    draft: &Path,
    words: &Path,
    module: &File,
    is_fuelled: bool,
) -> io::Result<ExitStatus> {
    let mut command = Command::new(&settings.compiler);
    let limits = &settings.compile;
    command
        .arg(COMPILE_ARGUMENT)
        .args([limits.memory.to_string(), limits.seconds.to_string()])
        .args(is_fuelled.then_some(FUELLED))
        .env_clear()
        .current_dir("/")
        .stdin(module.try_clone()?)
        .stdout(new_file(draft)?)
        .stderr(new_file(words)?);
    wait(command.spawn()?, limits)
}

fn wait(mut child: Child, limits: &CompileLimits) -> io::Result<ExitStatus> {
    let ended = has_ended(
        &child,
        Duration::from_secs(limits.seconds / 2 + limits.seconds),
    );
    if !matches!(ended, Ok(true)) {
        child.kill()?;
    }
    child.wait()
}

/// Waits for its end, but not for ever.
fn has_ended(child: &Child, wait: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let mut polled = [PollFd::new(&handle, PollFlags::IN)];
    let limit = Timespec::try_from(wait).ok();
    loop {
        match rustix::event::poll(&mut polled, limit.as_ref()) {
            Ok(n) => return Ok(n > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

fn judge(limits: &CompileLimits, status: ExitStatus, said: &str) -> Failure {
    if status.code() == Some(1) && !said.is_empty() {
        return Failure::new(Why::Module, said);
    }
    let how = match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit {}", status.code().unwrap_or(-1)),
    };
    let message = format!(
        "compiling the module took more than {} MiB of memory or {} s ({how}); make it smaller",
        limits.memory >> 20,
        limits.seconds
    );
    Failure::new(Why::Compile, message)
}

/// The whole of a process that compiles: a module from standard input to code on standard output.
/// The arguments are those behind [`COMPILE_ARGUMENT`].
pub fn compile_for_parent(args: &[String]) -> ExitCode {
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse().ok());
    let (Some(memory), Some(seconds)) = (number(0), number(1)) else {
        eprintln!("this is called by tidemill itself");
        return ExitCode::from(2);
    };
    let limits = CompileLimits { memory, seconds };
    match compile(&limits, args.iter().any(|arg| arg == FUELLED)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn compile(limits: &CompileLimits, is_fuelled: bool) -> Result<(), String> {
    bind(limits).map_err(|err| format!("cannot limit the compiler: {err}"))?;
    let mut module = Vec::new();
    let stdin = io::stdin().lock();
    stdin
        .take(MODULE_MAX + 1)
        .read_to_end(&mut module)
        .map_err(|err| format!("cannot read the module: {err}"))?;
    let engine = Engine::new(&config(is_fuelled, false)).map_err(|err| format!("{err:#}"))?;
    let code = match crate::module::is_component(&module) {
        Some(false) => engine.precompile_module(&module),
        Some(true) => engine.precompile_component(&module),
        None => return Err(crate::module::NOT_WASM.to_string()),
    };
    let code = code.map_err(|err| format!("the module cannot be compiled: {err:#}"))?;
    io::stdout()
        .write_all(&code)
        .map_err(|err| format!("cannot write the code: {err}"))
}

/// Binds this process before it looks at the module.
fn bind(limits: &CompileLimits) -> io::Result<()> {
    let limits = [
        (Resource::As, limits.memory),
        (Resource::Cpu, limits.seconds),
        (Resource::Fsize, CODE_MAX),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        let both = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, both)?;
    }
    // Whoever runs tasks comes first.
    let _ = rustix::process::nice(10);
    Ok(())
}
