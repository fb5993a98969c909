//! WebAssembly tasks in the whole program: the example, a server, and `wasm inspect`.

#![cfg(feature = "wasm")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use support::{Place, project, stdout, told};

/// A copy of the example with its modules built from their sources in C and Rust.
fn example(place: &Place) -> PathBuf {
    let folder = place.dags().join("wasm_words");
    std::fs::create_dir(&folder).unwrap();
    for name in ["dag.toml", "words.c", "top.rs", "build"] {
        let from = project().join("examples/wasm_words").join(name);
        std::fs::copy(from, folder.join(name)).unwrap();
    }
    // Through `sh`: a file just written may be open for writing in a child that another test is
    // starting, and could then not be executed itself.
    let built = Command::new("sh")
        .arg(folder.join("build"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "needs clang, wasi-libc and a rustc with the target (scripts/install-test-needs): {}",
        told(&built)
    );
    folder
}

#[test]
fn the_example_counts_the_same_in_a_module_and_in_a_pipeline_and_shows_both_times() {
    let place = Place::new();
    let file = example(&place).join("dag.toml");
    let output = place.call(&["run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // What each task took stands behind its name.
    let text = stdout(&output);
    for name in ["count_in_wasm", "count_in_shell"] {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap_or_else(|| panic!("no line of {name} in {text}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_time = words[1].ends_with('s') && words[1].starts_with(|c: char| c.is_ascii_digit());
        assert!(is_time && words[2] == "success", "{line}");
    }
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = run["task_instances"].as_array().unwrap();
    let task = |name: &str| tasks.iter().find(|task| task["task_id"] == name).unwrap();
    let said = task("compare")["output"].as_str().unwrap();
    let times = said
        .strip_prefix("both agree: the module took ")
        .and_then(|rest| rest.strip_suffix(" s"))
        .and_then(|rest| rest.split_once(" s, the pipeline "));
    let (module, pipeline) = times.unwrap_or_else(|| panic!("{said}"));
    for time in [module, pipeline] {
        assert!(time.parse::<f64>().unwrap() > 0.0, "{said}");
    }
    let top = &task("top")["output"];
    assert_eq!(top["top"][0]["word"], "the", "{top}");
    assert!(top["total"].as_u64().unwrap() > 100_000, "{top}");
    for name in ["count_in_wasm", "count_in_shell"] {
        assert!(task(name)["duration"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_server_runs_modules_and_a_second_run_finds_them_compiled() {
    let place = Place::new();
    example(&place);
    let server = place.serve();
    server.wait_for_dag("wasm_words");
    for _ in 0..2 {
        let run = place.trigger("wasm_words", &[]);
        assert_eq!(server.wait_for_end("wasm_words", &run)["state"], "success");
        let task = server.task("wasm_words", &run, "count_in_wasm");
        assert_eq!(task["operator"], "wasm", "{task}");
    }
    let cache = std::fs::read_dir(place.home().join("wasm-cache")).unwrap();
    assert_eq!(cache.count(), 3, "a key and two modules");
}

#[test]
fn inspect_says_what_a_module_is_and_needs() {
    let place = Place::new();
    let folder = example(&place);
    let module = folder.join("words.wasm");
    let shown = place.call(&["wasm", "inspect", module.to_str().unwrap()]);
    let text = stdout(&shown);
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    for part in [
        "preview 1 command",
        "wasi_snapshot_preview1::fd_write",
        "_start",
        "stdin: it reads",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found = place.call_json(&["wasm", "inspect", module.to_str().unwrap(), "-o", "json"]);
    assert_eq!(
        (&found["kind"], &found["is_command"]),
        (&"module".into(), &true.into())
    );
    let source = folder.join("words.c");
    let refused = place.call(&["wasm", "inspect", source.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(10), "{}", told(&refused));
    let missing = place.call(&["wasm", "inspect", "no.wasm"]);
    assert_eq!(missing.status.code(), Some(3));
}

/// `(module (func (export "_start")))`
const NOTHING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

#[test]
fn modules_start_no_process_however_many_there_are() {
    const N: usize = 300;
    let place = Place::new();
    let folder = place.dags().join("many");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("nothing.wasm"), NOTHING).unwrap();
    let mut text = "[tasks]\n".to_string();
    for n in 0..N {
        writeln!(text, "t{n} = {{ wasm = 'nothing.wasm' }}").unwrap();
    }
    text.push_str("process = ': the one process of all these tasks'\n");
    std::fs::write(folder.join("dag.toml"), text).unwrap();
    let calls = "trace=execve,execveat,clone,clone3,vfork,fork";
    let trace = support::strace::of_a_run(&place, &["-s", "200", "-e", calls], "many");
    let is_new = |line: &&str| {
        let makes = ["clone(", "clone3(", "fork("]
            .iter()
            .any(|call| line.contains(call));
        makes && !line.contains("CLONE_THREAD")
    };
    let made: Vec<&str> = trace.lines().filter(is_new).collect();
    // The supervisor, the compiler of the one module, and the task that has a process.
    assert!((3..=4).contains(&made.len()), "{made:#?}");
    let is_task = |line: &&str| line.contains("execve(") && line.contains("the one process");
    assert_eq!(
        trace.lines().filter(is_task).count(),
        1,
        "it is seen where there is one"
    );
}

/// One task of each kind that writes a log.
const EACH_KIND: &str = r#"
[tasks.by_shell]
shell = "seq -f 'number%.0f by hand' 1 3000 | tee $TIDEMILL_RUN_DIR/numbers"
[tasks.by_python.python]
script = "talk.py"
[tasks.by_wasm]
depends_on = ["by_shell"]
[tasks.by_wasm.wasm]
module = "words.wasm"
stdin_file = "numbers"
[tasks.by_http.http]
url = "http://ADDRESS/number77"
"#;

#[test]
fn the_log_of_each_kind_of_task_is_packed_searched_and_capped_alike() {
    let place = Place::new();
    let folder = example(&place);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = std::io::BufReader::new(stream);
            let blank = |line: &String| line.trim().is_empty();
            let _ = std::io::BufRead::lines(&mut stream)
                .map_while(Result::ok)
                .find(blank);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _ = std::io::Write::write_all(stream.get_mut(), answer);
        }
    });
    std::fs::write(
        folder.join("dag.toml"),
        EACH_KIND.replace("ADDRESS", &address),
    )
    .unwrap();
    let talk = "for n in range(1, 3001): print(f'number{n} by snake')\n";
    std::fs::write(folder.join("talk.py"), talk).unwrap();

    let server = place.serve();
    server.wait_for_dag("wasm_words");
    let run = place.trigger("wasm_words", &[]);
    assert_eq!(server.wait_for_end("wasm_words", &run)["state"], "success");
    let logs = |run: &str, task: &str, more: &[&str]| {
        let run = format!("wasm_words/{run}");
        stdout(&place.call(&[&["tasks", "logs", &run, task], more].concat()))
    };
    let packed = || -> usize {
        let runs = std::fs::read_dir(place.home().join("logs"))
            .unwrap()
            .flatten();
        let files = runs.flat_map(|run| std::fs::read_dir(run.path()).unwrap().flatten());
        files
            .filter(|file| file.path().extension().is_some_and(|end| end == "zst"))
            .count()
    };
    support::waiting::wait_for("three packed logs", support::PATIENCE, || {
        (packed() == 3).then_some(())
    });
    for (task, line) in [
        ("by_shell", "number77 by hand\n"),
        ("by_python", "number77 by snake\n"),
        ("by_wasm", "1\tnumber77\n"),
    ] {
        assert_eq!(
            logs(&run, task, &["--grep", "number77( |$)"]),
            line,
            "{task}"
        );
        assert!(logs(&run, task, &[]).lines().count() >= 3000, "{task}");
    }
    assert!(logs(&run, "by_http", &["--grep", "number77"]).contains("200 OK"));

    drop(server);
    let settings = "[logs]\nmax_try_bytes = '8KiB'\n";
    std::fs::write(place.home().join("tidemill.toml"), settings).unwrap();
    let server = place.serve();
    let run = place.trigger("wasm_words", &[]);
    assert_eq!(server.wait_for_end("wasm_words", &run)["state"], "success");
    for task in ["by_shell", "by_python", "by_wasm"] {
        let log = logs(&run, task, &[]);
        assert!(
            log.lines().count() < 1000 && log.contains("dropped"),
            "{task}: {log}"
        );
    }
}
