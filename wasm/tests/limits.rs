//! F40 and S30: modules that mean harm, each ended with its own reason and without a trace.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, args, bytes, c, component, settings, text};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_wasm::{CompileLimits, Grants, MODULE_MAX, Settings, Why};

/// Nothing here takes nearly as long.
const LONG: Duration = Duration::from_secs(120);

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// F40, S30: an infinite loop, a storm of calls to the host, a sleep and output without end. Dropping the
/// run ends each; its store goes with all that it held.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_runs_for_ever_ends_when_its_run_is_dropped() {
    let mut place = Place::new();
    for module in [c("probe"), component("probe", None)] {
        place.run(&module, Grants::default()).await.unwrap(); // compiled
        for what in ["spin", "storm", "rest", "shout"] {
            let request = place.request(&module, args(&[what]));
            let runtime = Arc::clone(&place.runtime);
            let run = tokio::spawn(async move { runtime.run(request).await });
            let held = Arc::clone(&place.stdout);
            // The place, `held` and the instance's own two streams.
            wait_until("it runs", || Arc::strong_count(&held) > 2).await;
            run.abort();
            assert!(run.await.unwrap_err().is_cancelled());
            place.stdout = Arc::default();
            wait_until(what, || Arc::strong_count(&held) == 1).await;
        }
    }
}

/// As many loops as there are threads keep no other module from its turn.
#[tokio::test(flavor = "multi_thread")]
async fn loops_on_every_thread_leave_others_their_turn() {
    let mut place = Place::new();
    let module = c("probe");
    place.run(&module, Grants::default()).await.unwrap();
    let loops: Vec<_> = (0..16)
        .map(|_| {
            let request = place.request(&module, args(&["spin"]));
            let runtime = Arc::clone(&place.runtime);
            tokio::spawn(async move { runtime.run(request).await })
        })
        .collect();
    for _ in 0..10 {
        let ended = place.run(&module, args(&["exit", "3"])).await.unwrap();
        assert_eq!(ended.exit_code, 3);
    }
    loops.iter().for_each(|run| run.abort());
}

#[tokio::test]
async fn fuel_ends_a_loop_at_the_same_place_each_time() {
    let mut place = Place::new();
    place.limits.fuel = Some(3_000_000);
    let module = c("probe");
    let failure = place.run(&module, args(&["spin"])).await.unwrap_err();
    assert_eq!(failure.why, Why::Fuel);
    assert!(failure.message.contains("3000000"), "{failure}");
    let mut used = Vec::new();
    for _ in 0..3 {
        let ended = place.run(&module, args(&["exit", "0"])).await.unwrap();
        used.push(ended.fuel.unwrap());
    }
    assert!(
        used[0] > 0 && used.iter().all(|fuel| *fuel == used[0]),
        "{used:?}"
    );
}

/// F40, S30: a memory bomb.
#[tokio::test]
async fn memory_beyond_the_limit_ends_a_module() {
    let mut place = Place::new();
    place.limits.memory = 32 << 20;
    for module in [c("probe"), component("probe", None)] {
        let failure = place.run(&module, args(&["eat"])).await.unwrap_err();
        assert_eq!(failure.why, Why::Memory, "{failure}");
        assert!(
            failure.message.contains("max_memory is 32 MiB"),
            "{failure}"
        );
    }
    let begins = text(
        "begins-large",
        "(module (memory 1000) (func (export \"_start\")))",
    );
    assert_eq!(
        place.run(&begins, Grants::default()).await.unwrap_err().why,
        Why::Memory
    );
}

/// F40, S30: a table bomb.
#[tokio::test]
async fn a_table_beyond_the_limit_ends_a_module() {
    let mut place = Place::new();
    let wat = "(module (table 1 funcref) (func (export \"_start\")
        (loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))))";
    let failure = place
        .run(&text("table-bomb", wat), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(failure.why, Why::Table, "{failure}");
    let begins = "(module (table 10000000 funcref) (func (export \"_start\")))";
    let failure = place
        .run(&text("table-large", begins), Grants::default())
        .await
        .unwrap_err();
    assert!(matches!(failure.why, Why::Table | Why::Module), "{failure}");
}

/// F40, S30: deep recursion.
#[tokio::test]
async fn calls_that_are_too_deep_end_a_module() {
    let mut place = Place::new();
    let wat = "(module (func $f (export \"_start\") (call $f)))";
    for module in [text("deep", wat), c("probe")] {
        let failure = place.run(&module, args(&["deep"])).await.unwrap_err();
        // C keeps a stack of its own in its memory, which ends where its data begins.
        assert!(matches!(failure.why, Why::Stack | Why::Trap), "{failure}");
    }
    let failure = place
        .run(&text("deep", wat), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(failure.why, Why::Stack);
}

/// F40, S30: a trap in the start function, and traps elsewhere.
#[tokio::test]
async fn a_trap_says_what_it_was_even_before_the_module_has_begun() {
    let mut place = Place::new();
    let start = "(module (func $s unreachable) (start $s) (func (export \"_start\")))";
    let failure = place
        .run(&text("start", start), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(failure.why, Why::Trap);
    assert!(failure.message.contains("unreachable"), "{failure}");
    let endless = "(module (func $s (loop (br 0))) (start $s) (func (export \"_start\")))";
    place.limits.fuel = Some(1000);
    let failure = place
        .run(&text("endless-start", endless), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(failure.why, Why::Fuel);
    place.limits.fuel = None;
    let failure = place.run(&c("probe"), args(&["abort"])).await.unwrap_err();
    assert_eq!(failure.why, Why::Trap);
    let divide =
        "(module (func (export \"_start\") (drop (i32.div_u (i32.const 1) (i32.const 0)))))";
    let failure = place
        .run(&text("divide", divide), Grants::default())
        .await
        .unwrap_err();
    assert!(failure.message.contains("divide by zero"), "{failure}");
}

/// S30: much chance costs the host nothing.
#[tokio::test]
async fn chance_is_given_in_small_pieces() {
    let mut place = Place::new();
    place.limits.memory = 128 << 20;
    let ended = place.run(&c("probe"), args(&["chance"])).await.unwrap();
    assert_eq!(ended.exit_code, 0);
    let wat = "(module
        (import \"wasi_snapshot_preview1\" \"random_get\" (func $get (param i32 i32) (result i32)))
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (memory (export \"memory\") 1000)
        (func (export \"_start\") (call $exit (i32.ne (i32.const 0) (call $get (i32.const 0) (i32.const 60000000))))))";
    let refused = place
        .run(&text("much-chance", wat), Grants::default())
        .await;
    assert!(refused.is_err() || refused.unwrap().exit_code == 1);
}

/// F40, S30: a huge module is refused before it is read.
#[tokio::test]
async fn a_module_of_a_gibibyte_is_refused_unread() {
    let mut place = Place::new();
    let path = place.folder.path().join("huge.wasm");
    std::fs::File::create(&path)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let failure = place.run(&path, Grants::default()).await.unwrap_err();
    assert_eq!(failure.why, Why::Module);
    assert!(
        failure
            .message
            .contains(&format!("{} MiB", MODULE_MAX >> 20)),
        "{failure}"
    );
    let folder = place
        .run(std::path::Path::new("/"), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(folder.why, Why::Module);
}

/// S30: a compile bomb ends its own process and nothing else.
#[tokio::test]
async fn a_module_that_is_too_much_for_the_compiler_is_refused_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let limits = |memory, seconds| Settings {
        compile: CompileLimits { memory, seconds },
        ..settings(folder.path())
    };
    let body = "(i32.add (local.get 0) (i32.mul (local.get 0) (i32.const 3)))".to_string();
    let body = (0..40).fold(body, |body, _| format!("(i32.add (local.get 0) {body})"));
    let many: String = (0..20_000)
        .map(|n| format!("(func (export \"f{n}\") (param i32) (result i32) {body})"))
        .collect();
    let bomb = text("bomb", &format!("(module {many})"));
    let mut small = Place::with(limits(96 << 20, 120));
    let failure = small.run(&bomb, Grants::default()).await.unwrap_err();
    assert_eq!(failure.why, Why::Compile, "{failure}");
    let mut short = Place::with(limits(4 << 30, 1));
    let failure = short.run(&bomb, Grants::default()).await.unwrap_err();
    assert_eq!(failure.why, Why::Compile, "{failure}");
    let ended = short.run(&c("probe"), args(&["exit", "3"])).await.unwrap();
    assert_eq!(ended.exit_code, 3);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the key and the code of one module");
}

/// S30: imports beyond what the host has.
#[tokio::test]
async fn a_module_that_imports_something_else_is_refused_by_its_name() {
    let mut place = Place::new();
    let wat = "(module (import \"env\" \"system\" (func (param i32))) (func (export \"_start\")))";
    let failure = place
        .run(&text("imports", wat), Grants::default())
        .await
        .unwrap_err();
    assert_eq!(failure.why, Why::Module);
    assert!(
        failure.message.contains("env") && failure.message.contains("system"),
        "{failure}"
    );
    let none = text("no-start", "(module)");
    let failure = place.run(&none, Grants::default()).await.unwrap_err();
    assert!(failure.message.contains("_start"), "{failure}");
}

/// S30: instances of the pool know nothing of those before them.
#[tokio::test(flavor = "multi_thread")]
async fn each_instance_begins_with_empty_memory_and_fresh_globals() {
    let wat = "(module
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (memory (export \"memory\") 40)
        (global $g (mut i32) (i32.const 0))
        (func (export \"_start\") (local $at i32)
          (if (global.get $g) (then (call $exit (i32.const 2))))
          (loop $next
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (call $exit (i32.const 1))))
            (i64.store (local.get $at) (i64.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 2621440))))
          (global.set $g (i32.const 1))))";
    let module = text("leak", wat);
    let mut place = Place::new();
    let runs: Vec<_> = (0..200)
        .map(|_| {
            let request = place.request(&module, Grants::default());
            let runtime = Arc::clone(&place.runtime);
            tokio::spawn(async move { runtime.run(request).await })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().exit_code, 0);
    }
}

#[tokio::test]
async fn a_function_of_its_own_can_be_called_and_its_number_is_the_status() {
    let mut place = Place::new();
    let module = text(
        "functions",
        "(module (func (export \"seven\") (result i32) i32.const 7) (func (export \"none\")))",
    );
    for (name, status) in [
        ("seven", Ok(7)),
        ("none", Ok(0)),
        ("other", Err(Why::Module)),
    ] {
        let mut request = place.request(&module, Grants::default());
        request.function = Some(name.to_string());
        let ended = place.runtime.run(request).await;
        assert_eq!(
            ended
                .map(|end| end.exit_code)
                .map_err(|failure| failure.why),
            status
        );
    }
}

#[tokio::test]
async fn what_is_no_module_is_refused_in_words() {
    let mut place = Place::new();
    for (name, content) in [
        ("empty", &b""[..]),
        ("script", b"#!/bin/sh\necho hi\n"),
        ("text", b"(module)"),
        ("cut", b"\0asm\x01\0\0\0\x01\x40"),
        ("version", b"\0asm\x02\0\0\0"),
    ] {
        let failure = place
            .run(&bytes(name, content), Grants::default())
            .await
            .unwrap_err();
        assert_eq!(failure.why, Why::Module, "{name}: {failure}");
        assert!(failure.message.len() > 10, "{failure}");
    }
}

#[tokio::test]
async fn code_that_was_compiled_once_is_compiled_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let module = c("probe");
    Place::with(settings(folder.path()))
        .run(&module, args(&["exit", "4"]))
        .await
        .unwrap();
    let no_compiler = Settings {
        compiler: "/bin/false".into(),
        ..settings(folder.path())
    };
    let mut place = Place::with(no_compiler);
    let ended = place.run(&module, args(&["exit", "4"])).await.unwrap();
    assert_eq!(ended.exit_code, 4);
    let other = text("other", "(module (func (export \"_start\")))");
    assert_eq!(
        place.run(&other, Grants::default()).await.unwrap_err().why,
        Why::Compile
    );
}
