//! How mistakes are shown, and the schema.

use super::good;
use crate::{duplicate_id, load, render_text, schema};

fn shown(source: &str) -> String {
    render_text(
        "dags/x.toml",
        source,
        &load(source.as_bytes(), "x").diagnostics,
        false,
    )
}

#[test]
fn a_slip_is_shown_with_its_line_and_the_fix() {
    let text = shown("[tasks.extract]\nretry_dealy = \"30s\"\nshell = 'true'\n");
    for part in [
        "error[TM0104]: unknown key `retry_dealy` in task `extract`",
        "--> dags/x.toml:2:1",
        "not a key of [tasks.extract]",
        "did you mean `retry_delay`?",
        "+ retry_delay = \"30s\"",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_circle_is_shown_whole() {
    let text = shown(
        "[tasks.extract]\ndepends_on = ['load']\nshell = 'x'\n[tasks.clean]\ndepends_on = ['extract']\nshell = 'x'\n[tasks.load]\ndepends_on = ['clean']\nshell = 'x'\n",
    );
    assert!(
        text.contains("dependency cycle: extract -> clean -> load -> extract"),
        "{text}"
    );
    assert!(
        text.contains("closes the cycle") && text.contains("clean waits for extract"),
        "{text}"
    );
}

#[test]
fn patches_mend_what_they_are_about() {
    let cases = [
        (
            "[tasks.t]\nexecution_timeout = 900\nshell = 'true'\n",
            "execution_timeout = \"900s\"",
        ),
        ("[tasks.t]\nrun = 'true'\n", "shell = 'true'"),
        ("[tasks.t]\nretries = '3'\nshell = 'true'\n", "retries = 3"),
        (
            "[dag]\ntimezone = 'Europe/Pariss'\n[tasks]\nt = 'true'\n",
            "timezone = \"Europe/Paris\"",
        ),
        (
            "[tasks.a]\nshell = 'x'\n[tasks.b]\nshell = 'x'\nenv = { N = '{{ tasks.a.output }}' }\n",
            "depends_on = [\"a\"]",
        ),
        (
            "[tasks.a]\nshell = 'x'\n[tasks.c]\nshell = 'x'\n[tasks.b]\ndepends_on = ['c']\nshell = 'x'\nenv = { N = '{{ tasks.a.output }}' }\n",
            "depends_on = ['c', \"a\"]",
        ),
        (
            "[params]\nn = 'x'\n[tasks.t]\nshell = 'echo {{ params.n }}'\n",
            "{{ params.n | quote }}",
        ),
        (
            "[dag]\nschedule = '0 6 * * *'\n[tasks]\nt = 'x {{ data_interval_start }} {{ data_interval_end }}'\n",
            "schedule = { cron = '0 6 * * *', interval = \"previous\" }",
        ),
    ];
    for (source, mended) in cases {
        let loaded = load(source.as_bytes(), "x");
        let (span, text) = loaded.diagnostics[0].patch.clone().unwrap();
        let mut fixed = source.to_string();
        fixed.replace_range(span, &text);
        assert!(fixed.contains(mended), "{mended} is not in\n{fixed}");
        good(&fixed);
    }
}

#[test]
fn colour_is_only_there_when_asked_for_and_other_files_are_named() {
    let source = "[dag]\nid = 'x'\n[tasks]\nt = 'true'\n";
    let one = duplicate_id("x", "dags/y.toml", good(source).id_span);
    let plain = render_text("dags/x.toml", source, std::slice::from_ref(&one), false);
    assert!(
        plain.contains("error[TM0144]")
            && plain.contains("dags/y.toml")
            && !plain.contains('\u{1b}'),
        "{plain}"
    );
    assert!(plain.contains("dags/x.toml:2:6"), "{plain}");
    assert!(render_text("dags/x.toml", source, &[one], true).contains('\u{1b}'));
}

#[test]
fn broken_text_of_any_kind_is_shown_without_a_panic() {
    for source in [
        "é = ",
        "[tasks]\nt = 'é{{ é }}'",
        "\n\n[",
        "a\u{7}",
        "x = \"\\u12\"",
        "[tasks]\r\nt = 'x\r\ny'",
    ] {
        assert!(!shown(source).is_empty());
    }
}

/// A TOML document as an editor shows it to a schema.
fn as_json(source: &str) -> serde_json::Value {
    let (root, errors) = crate::parse::tree(source);
    assert_eq!(errors, []);
    let value = toml::Spanned::new(0..0, toml::de::DeValue::Table(root.into_inner()));
    crate::normal::json(&value)
}

#[test]
fn the_schema_accepts_the_examples_and_refuses_an_unknown_key() {
    let schema = schema();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../dags");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let path = if path.is_dir() {
            path.join("dag.toml")
        } else {
            path
        };
        if path.extension().is_none_or(|extension| extension != "toml") || !path.exists() {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&as_json(&source))
            .map(|err| err.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
        assert_eq!(
            load(source.as_bytes(), "example").diagnostics,
            [],
            "{}",
            path.display()
        );
        n_files += 1;
    }
    assert!(n_files > 0, "there are no examples");
    for wrong in [
        "[tasks.t]\nretry_dealy = '3s'\nshell = 'true'",
        "[dag]\nfoo = 1\n[tasks]\nt = 'true'",
        "[tasks.t]\nretries = 1",
        "[tasks.t]\nexecution_timeout = 900\nshell = 'true'",
        "[dag]\nid = 'x'",
    ] {
        assert!(!validator.is_valid(&as_json(wrong)), "{wrong}");
    }
}

/// A file with something of everything, to be broken in many ways.
const RICH: &str = "# é
[dag]
schedule = { cron = ['0 6 * * 1-5', '@daily'], timezone = 'Europe/Paris' }
start_date = 2026-01-01
[default_args]
retries = 2
env = { A = \"\\u00e9 {{ ds }}\" }
[params]
name = 'é'
[params.n]
type = 'integer'
default = 3
[groups.g]
depends_on = ['a']
[tasks]
a = 'echo {{ params.name | quote }}'
[tasks.b]
group = 'g'
depends_on = [{ task = 'a', label = '€' }]
outputs = { k = '{{ stdout | int }}' }
shell = \"\"\"
echo \\
  {{ params.n }} {{ ti.xcom_pull(task_ids='a') }} é
\"\"\"
[tasks.c]
depends_on = 'g'
execution_timeout = '1h30m'
skip_if = '{{ tasks.b.outputs.k > 3 }}'
shell = { script = 'c.sh', args = ['{{ run_dir }}'], output = 'json' }
";

proptest::proptest! {
    #[test]
    fn a_damaged_file_never_panics(
        cuts in proptest::collection::vec((0usize..900, 0usize..12, "[\\PC\\n'\"\\[\\]{}=.#\\\\|]{0,6}"), 1..4),
    ) {
        let mut text: Vec<char> = RICH.chars().collect();
        for (at, n_chars, new) in cuts {
            let at = at.min(text.len());
            let end = (at + n_chars).min(text.len());
            text.splice(at..end, new.chars());
        }
        let source: String = text.into_iter().collect();
        let loaded = load(source.as_bytes(), "x");
        proptest::prop_assert!(loaded.dag.is_some() || !loaded.diagnostics.is_empty());
        render_text("x.toml", &source, &loaded.diagnostics, true);
        crate::reports("x.toml", &source, &loaded.diagnostics);
    }
}

#[test]
fn the_rich_file_is_right() {
    good(RICH);
}

#[test]
fn a_module_is_pinned_and_its_settings_are_read() {
    let loaded = good(
        "
[tasks.short]
wasm = 'lib/x.wasm'
[tasks.long]
outputs = { n = '{{ result.n + exit_code }}', all = '{{ stdout }}' }
[tasks.long.wasm]
module = './lib/x.wasm'
args = ['--day', '{{ ds }}']
stdin_file = '{{ run_dir }}/in'
dirs = [{ host = '{{ run_dir }}', guest = '/data', mode = 'rw' }]
allow_hosts = ['api.example.com:443']
fuel = 5_000_000_000
max_memory = '64MiB'
output = 'json'
",
    );
    assert_eq!(loaded.files.len(), 1, "{:?}", loaded.files);
    let dag = loaded.dag.unwrap();
    let tidemill_model::Operator::InProcess(work) = &dag.tasks[1].operator else {
        panic!("{:?}", dag.tasks[1].operator);
    };
    let want = serde_json::json!({
        "module": "lib/x.wasm", "args": ["--day", "{{ ds }}"], "stdin_file": "{{ run_dir }}/in",
        "dirs": [{ "host": "{{ run_dir }}", "guest": "/data", "mode": "rw" }],
        "allow_hosts": ["api.example.com:443"], "fuel": 5_000_000_000u64, "max_memory": 64 << 20,
        "output": "json",
    });
    assert_eq!(serde_json::to_value(&work.settings).unwrap(), want);
}
