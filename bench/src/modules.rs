//! WebAssembly tasks against a bare loop of wasmtime, and a chain of Fibonacci numbers as modules
//! and as processes.

use crate::Options;
use crate::contest::middle;
use crate::home::{Home, Server};
use crate::report::Report;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Linker, Module, Store};

const TASKS: usize = 10_000;
const CHAIN: usize = 40;

/// fibonacci(10) with as many calls as its definition makes; wrong when it is not 55.
const FIBONACCI: &str = r#"(module
  (func $fib (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "_start") (if (i32.ne (call $fib (i32.const 10)) (i32.const 55)) (then unreachable))))"#;
const SHELL: &str = "fib() { if [ $1 -lt 2 ]; then r=$1; else fib $(($1 - 1)); local a=$r; fib $(($1 - 2)); r=$((a + r)); fi; }; fib 10; [ $r = 55 ]";

/// All of it.
pub fn run(options: &Options, scratch: &Path, report: &mut Report) -> Result<()> {
    let module = wat::parse_str(FIBONACCI)?;
    let bare = bare(&module)?;
    report.section(&format!(
        "fibonacci(10): WebAssembly tasks, {TASKS} wide, 16 at once"
    ));
    report.row(
        "wasmtime, instantiate and call in a loop",
        bare * 1000.0,
        "ms/task",
    );
    let wide: String = (0..TASKS).fold("[tasks]\n".to_string(), |mut text, n| {
        let _ = writeln!(text, "t{n:05} = {{ wasm = 'fib.wasm' }}");
        text
    });
    let task = lap(options, scratch, &module, &wide)? / TASKS as f64;
    report.row("tidemill, amortised", task * 1000.0, "ms/task");
    report.row("tidemill / wasmtime", task / bare, "x");
    let one = lap(
        options,
        scratch,
        &module,
        "[tasks]\nt = { wasm = 'fib.wasm' }\n",
    )?;
    report.row("tidemill, a run of one task", one * 1000.0, "ms");

    report.section(&format!("fibonacci(10) in a chain of {CHAIN} tasks"));
    let chain = |what: &str| {
        let mut text = "[tasks]\n".to_string();
        for n in 0..CHAIN {
            let after = n
                .checked_sub(1)
                .map(|n| format!("'t{n:02}'"))
                .unwrap_or_default();
            let _ = writeln!(text, "t{n:02} = {{ depends_on = [{after}], {what} }}");
        }
        text
    };
    let wasm = lap(options, scratch, &module, &chain("wasm = 'fib.wasm'"))?;
    let shell = chain(&format!(
        "shell = {{ interpreter = ['bash', '-c'], command = '{SHELL}' }}"
    ));
    let shell = lap(options, scratch, &module, &shell)?;
    report.row("WebAssembly", wasm * 1000.0, "ms");
    report.row("shell", shell * 1000.0, "ms");
    report.row("WebAssembly / shell", wasm / shell, "x");
    Ok(())
}

/// Seconds of one instance and call, without anything around it.
fn bare(module: &[u8]) -> Result<f64> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let what = |err: wasmtime::Error| anyhow::anyhow!("{err:#}");
    let engine = Engine::new(&config).map_err(what)?;
    let module = Module::new(&engine, module).map_err(what)?;
    let ready = Linker::new(&engine)
        .instantiate_pre(&module)
        .map_err(what)?;
    let call = || -> wasmtime::Result<()> {
        let mut store = Store::new(&engine, ());
        let instance = ready.instantiate(&mut store)?;
        instance
            .get_typed_func::<(), ()>(&mut store, "_start")?
            .call(&mut store, ())
    };
    call().map_err(what)?;
    let begin = Instant::now();
    for _ in 0..TASKS {
        call().map_err(what)?;
    }
    Ok(begin.elapsed().as_secs_f64() / TASKS as f64)
}

/// The median makespan of a DAG, in seconds; a first run has compiled its module.
fn lap(options: &Options, scratch: &Path, module: &[u8], tasks: &str) -> Result<f64> {
    let home = Home::new(&options.tidemill, scratch)?;
    let folder = home.dags().join("bench");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("fib.wasm"), module)?;
    std::fs::write(
        folder.join("dag.toml"),
        format!("[dag]\nmax_active_tasks = 16\n{tasks}"),
    )?;
    let warm = home.dags().join("warm");
    std::fs::create_dir(&warm)?;
    std::fs::write(warm.join("fib.wasm"), module)?;
    std::fs::write(
        warm.join("dag.toml"),
        "[tasks]\nt = { wasm = 'fib.wasm' }\n",
    )?;
    let server = home.serve(&[])?;
    server.wait_for_dag("bench")?;
    server.wait_for_dag("warm")?;
    makespan(&home, &server, "warm", 0)?;
    let mut times = Vec::new();
    for round in 0..options.rounds {
        times.push(makespan(&home, &server, "bench", round)?);
    }
    server.stop()?;
    Ok(middle(times))
}

fn makespan(home: &Home, server: &Server, dag: &str, round: usize) -> Result<f64> {
    let run = format!("round{round}");
    home.call(&["dags", "trigger", dag, "--run-id", &run])?;
    let path = format!("/api/v2/dags/{dag}/dagRuns/{run}");
    let ended = server.wait(dag, Duration::from_millis(5), |server| {
        let run = server.get(&path)?;
        Ok(matches!(run["state"].as_str(), Some("success" | "failed")).then_some(run))
    })?;
    if ended["state"] != "success" {
        bail!("void: a run of {dag} ended in {}", ended["state"]);
    }
    ended["duration"]
        .as_f64()
        .context("the run has no duration")
}
