//! Python tasks on a real Python.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Place, in_process, texts, value};
use serde_json::{Value, json};
use tidemill_log::{STDERR, STDOUT};
use tidemill_model::attempt::Verdict;
use tidemill_model::{Outcome, Reason};

const MODULE: &str = r#"
import sys, tidemill_context

def add(a, b=1):
    print("adding", a, b)
    return {"sum": a + b, "read": sys.stdin.read()}

def told(tidemill_context):
    return [tidemill_context["dag_id"], tidemill_context["try_number"], tidemill_context["params"]["region"]]

def same():
    return [tidemill_context.ds, tidemill_context.task_id]

def boom(word):
    def inner():
        raise ValueError("boom " + word)
    inner()

def skip():
    sys.exit(99)

def odd():
    return {1, 2}

class Deep:
    @staticmethod
    def method():
        return 7

def nothing():
    return None
"#;

fn place() -> Place {
    let place = Place::new();
    std::fs::write(place.path("dag/jobs.py"), MODULE).unwrap();
    place
}

fn call(place: &mut Place, name: &str, kwargs: Value) -> (Outcome, Vec<String>) {
    let task = in_process(
        "python",
        json!({"call": format!("jobs:{name}"), "kwargs": kwargs}),
    );
    let (outcome, log) = place.run(task);
    let lines = log
        .iter()
        .map(|line| format!("{} {}", line.stream, line.text));
    (outcome, lines.collect())
}

#[test]
fn a_function_gets_typed_arguments_and_what_it_returns_is_the_output() {
    let mut place = place();
    let kwargs = json!({"a": "{{ params['n-rows'] }}", "b": 2});
    let (outcome, log) = call(&mut place, "add", kwargs);
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?} {log:?}");
    let output = value(&outcome, "return_value");
    assert_eq!(output, Some(&json!({"sum": 9, "read": ""})), "{log:?}");
    assert!(log.contains(&"O adding 7 2".to_string()), "{log:?}");
    let (outcome, _) = call(&mut place, "Deep.method", json!({}));
    assert_eq!(value(&outcome, "return_value"), Some(&json!(7)));
    let (outcome, _) = call(&mut place, "nothing", json!({}));
    assert_eq!(
        (outcome.verdict, value(&outcome, "return_value")),
        (Verdict::Success, None)
    );
}

#[test]
fn text_of_arguments_is_never_a_template_twice() {
    let mut place = place();
    let kwargs = json!({"a": "{{ '{{ ds }}' }}", "b": "{{ '$(x)' }}"});
    let (outcome, _) = call(&mut place, "add", kwargs);
    let output = value(&outcome, "return_value").unwrap();
    assert_eq!(output["sum"], "{{ ds }}$(x)");
}

#[test]
fn the_context_is_there_for_who_wants_it() {
    let mut place = place();
    let (outcome, log) = call(&mut place, "told", json!({}));
    let output = value(&outcome, "return_value");
    assert_eq!(output, Some(&json!(["the_dag", 2, "eu"])), "{log:?}");
    let (outcome, log) = call(&mut place, "same", json!({}));
    let output = value(&outcome, "return_value");
    assert_eq!(output, Some(&json!(["2025-11-21", "the_task"])), "{log:?}");
}

#[test]
fn an_exception_is_the_reason_and_its_traceback_shows_the_task_alone() {
    let mut place = place();
    let (outcome, log) = call(&mut place, "boom", json!({"word": "now"}));
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.reason, Some(Reason::ExitStatus));
    assert_eq!(outcome.message.as_deref(), Some("ValueError: boom now"));
    let text = log.join("\n");
    assert!(
        text.contains("Traceback") && text.contains("in inner"),
        "{text}"
    );
    assert!(
        !text.contains("runpy") && !text.contains("files/command"),
        "{text}"
    );
    let (outcome, _) = call(&mut place, "odd", json!({}));
    let message = outcome.message.unwrap();
    assert!(
        message.contains("what jobs:odd returned is not JSON"),
        "{message}"
    );
    let (outcome, _) = call(&mut place, "missing", json!({}));
    assert!(
        outcome
            .message
            .unwrap()
            .contains("has no attribute 'missing'")
    );
    let (outcome, _) = call(&mut place, "add", json!({"c": 1}));
    assert!(
        outcome
            .message
            .unwrap()
            .contains("unexpected keyword argument")
    );
}

#[test]
fn system_exit_99_is_a_skip() {
    let mut place = place();
    let (outcome, _) = call(&mut place, "skip", json!({}));
    assert_eq!(outcome.verdict, Verdict::Skipped);
}

#[test]
fn a_script_has_its_arguments_its_folder_and_no_input() {
    let mut place = place();
    std::fs::create_dir(place.path("dag/sub")).unwrap();
    std::fs::write(place.path("dag/sub/near.py"), "WORD = 'near'").unwrap();
    let script = "import sys, os, near\nfrom tidemill_context import run_id\n\
        if __name__ == '__main__':\n    print(sys.argv[1:], near.WORD, run_id, repr(sys.stdin.read()))\n\
        \x20   open(os.environ['TIDEMILL_OUTPUT'], 'w').write('rows=3\\n')\n";
    std::fs::write(place.path("dag/sub/load.py"), script).unwrap();
    let settings = json!({"script": "sub/load.py", "args": ["--day", "{{ ds }}", "a b"]});
    let mut task = in_process("python", settings);
    task.outputs = vec![("first".to_string(), "{{ stdout | length > 3 }}".to_string())];
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    let want = "['--day', '2025-11-21', 'a b'] near manual__1 ''";
    assert_eq!(texts(&log, STDOUT), [want]);
    assert_eq!(texts(&log, STDERR), [""; 0]);
    assert_eq!(value(&outcome, "rows"), Some(&json!("3")));
    assert_eq!(value(&outcome, "first"), Some(&json!(true)));
    assert!(!place.path("dag/sub/__pycache__").exists());
}

#[test]
fn the_interpreter_of_a_virtual_environment_is_used() {
    let mut place = place();
    let venv = place.path("venv");
    let made = std::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .status();
    assert!(made.unwrap().success());
    std::fs::write(
        place.path("dag/own.py"),
        "import sys\ndef f(): return sys.prefix",
    )
    .unwrap();
    let settings = json!({"call": "own:f", "venv": venv});
    let (outcome, log) = place.run(in_process("python", settings));
    assert_eq!(
        value(&outcome, "return_value"),
        Some(&json!(venv)),
        "{log:?}"
    );
    let nowhere = json!({"call": "own:f", "python": "python-of-nobody"});
    let (outcome, _) = place.run(in_process("python", nowhere));
    assert_eq!(outcome.reason, Some(Reason::CouldNotStart));
    assert!(outcome.message.unwrap().contains("python-of-nobody"));
}
