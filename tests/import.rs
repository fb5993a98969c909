//! `tidemill import crontab` on the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::json;
use support::{Place, stderr, stdout, told};

const CRONTAB: &str = r#"
SHELL=/bin/bash
GREETING="good  morning"
CRON_TZ=America/New_York

# nightly backup
30 2 * * * /usr/local/bin/backup.sh --full
0 0 */2 * 1 echo {{.Names}}
@reboot /usr/bin/thing
5 4 1 * * cat%one%two \% three
61 * * * * nope
"#;

#[test]
fn each_line_becomes_a_file_that_is_right_and_both_times_are_shown() {
    let place = Place::new();
    let crontab = place.folder().join("crontab");
    std::fs::write(&crontab, CRONTAB).unwrap();
    let (file, out) = (crontab.to_str().unwrap(), place.folder().join("out"));
    let out = out.to_str().unwrap();
    let args = [
        "import",
        "crontab",
        file,
        "--out",
        out,
        "--after",
        "2027-03-13",
        "-n",
        "2",
    ];
    let done = place.call(&args);
    assert_eq!(done.status.code(), Some(10), "{}", told(&done));
    let told_lines = stderr(&done);
    assert!(
        told_lines.contains("line 9 is not converted") && told_lines.contains("line 11"),
        "{told_lines}"
    );
    let shown = stdout(&done);
    let both = "Sun 2027-03-14 03:00-04:00  Sun 2027-03-14 03:00-04:00";
    assert!(shown.contains(both), "{shown}");
    assert!(!shown.contains("differs"), "{shown}");

    let checked = place.call(&["validate", out]);
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
    let names: Vec<_> = std::fs::read_dir(out).unwrap().flatten().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let backup = std::fs::read_to_string(format!("{out}/backup.toml")).unwrap();
    assert!(
        backup.contains("description = \"nightly backup\""),
        "{backup}"
    );
    assert!(
        backup.contains("timezone = \"America/New_York\""),
        "{backup}"
    );
    assert!(backup.contains("GREETING = \"good  morning\""), "{backup}");

    // What was not a template does not become one, and what cron feeds a command it gets.
    for (name, said) in [("echo", "{.Names}"), ("cat", "two % three")] {
        let run = place.call(&["run", &format!("{out}/{name}.toml"), "-o", "json"]);
        assert!(run.status.success(), "{}", told(&run));
        assert!(stdout(&run).contains(said), "{}", told(&run));
    }

    let again = place.call(&args);
    assert_eq!(again.status.code(), Some(5), "{}", told(&again));
    assert_eq!(
        std::fs::read_to_string(format!("{out}/backup.toml")).unwrap(),
        backup
    );
}

#[test]
fn a_system_crontab_comes_from_standard_input_and_tells_programs_in_json() {
    let place = Place::new();
    let mut command = place.tidemill();
    command.args([
        "import",
        "crontab",
        "-",
        "--system",
        "--timezone",
        "Europe/Berlin",
    ]);
    command.args(["--after", "2026-01-01", "-n", "1", "-o", "json"]);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    use std::io::Write;
    let line = b"25 6 * * * root test -x /usr/sbin/anacron || run-parts /etc/cron.daily\n";
    child.stdin.take().unwrap().write_all(line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let dag = &found["dags"][0];
    assert_eq!(dag["crontab"], json!(["2026-01-01T05:25:00Z"]));
    assert_eq!(
        (&dag["tidemill"], &dag["is_same"]),
        (&dag["crontab"], &json!(true))
    );
    let toml = dag["toml"].as_str().unwrap();
    assert!(toml.contains("run_as_user = \"root\""), "{toml}");
    assert_eq!(found["refused"], json!([]));
}

#[test]
fn what_cannot_be_read_is_said_with_its_exit_status() {
    let place = Place::new();
    let none = place.call(&["import", "crontab", "/no/such/crontab"]);
    assert_eq!(none.status.code(), Some(3), "{}", told(&none));
    let crontab = place.folder().join("crontab");
    std::fs::write(&crontab, "0 0 * * * x\n").unwrap();
    let file = crontab.to_str().unwrap();
    let zone = place.call(&["import", "crontab", file, "--timezone", "Mars"]);
    assert_eq!(zone.status.code(), Some(2), "{}", told(&zone));
}

#[test]
fn the_crontab_of_a_user_is_asked_for_and_its_times_are_checked() {
    let place = Place::new();
    // Not written here: a file just written may be open in a child that another test is starting,
    // and could then not be executed.
    let bin = support::project().join("tests/import");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let call = |user: &str| {
        let mut command = place.tidemill();
        command.env("PATH", &path);
        command
            .args(["import", "crontab", "-u", user, "--check"])
            .output()
            .unwrap()
    };
    let good = call("www");
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    let none = call("nobody");
    assert_eq!(none.status.code(), Some(1), "{}", told(&none));
}

#[test]
fn lines_with_the_same_times_become_tasks_of_one_file_when_asked() {
    let place = Place::new();
    let crontab = place.folder().join("crontab");
    let text = "5 4 * * * /bin/dump one\n5 4 * * * /bin/dump two\n5 4 * * 1 /bin/dump\n5 4 * * * /bin/sync\nCRON_TZ=Asia/Tokyo\n5 4 * * * /bin/sync\n";
    std::fs::write(&crontab, text).unwrap();
    let out = place.folder().join("out");
    let (file, folder) = (crontab.to_str().unwrap(), out.to_str().unwrap());
    let zone = ["--timezone", "UTC", "--group", "--out", folder];
    let done = place.call(&[&["import", "crontab", file][..], &zone].concat());
    assert_eq!(done.status.code(), Some(0), "{}", told(&done));
    assert!(
        stdout(&done).contains("line 1, 2, 4 -> "),
        "{}",
        told(&done)
    );
    assert!(stderr(&done).contains("5 lines converted, 0 not"));
    let mut names: Vec<_> = std::fs::read_dir(&out).unwrap().flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    assert_eq!(names.len(), 3, "{names:?}");
    let together = std::fs::read_to_string(out.join("dump.toml")).unwrap();
    for header in ["[tasks.dump]", "[tasks.dump_2]", "[tasks.sync]"] {
        assert!(together.contains(header), "{together}");
    }
    let checked = place.call(&["validate", folder]);
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
}

#[test]
fn a_random_time_is_chosen_by_the_command_and_a_flag_keeps_its_meaning() {
    let place = Place::new();
    let crontab = place.folder().join("crontab");
    let line = "~ 0~3 * * * -sn /usr/bin/mirror\n";
    std::fs::write(&crontab, line).unwrap();
    let import = |out: &str| {
        let out = place.folder().join(out);
        let (file, folder) = (crontab.to_str().unwrap(), out.to_str().unwrap());
        let done = place.call(&["import", "crontab", file, "--out", folder]);
        assert_eq!(done.status.code(), Some(0), "{}", told(&done));
        let checked = place.call(&["validate", folder]);
        assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
        let toml = std::fs::read_to_string(out.join("mirror.toml")).unwrap();
        (toml, stdout(&done))
    };
    let (toml, told) = import("first");
    assert!(toml.contains(line.trim()), "the line as it was: {toml}");
    assert!(
        !toml.split("cron = ").nth(1).unwrap().contains('~'),
        "{toml}"
    );
    assert!(
        toml.contains("concurrency = { limit = 1, policy = \"skip\" }"),
        "{toml}"
    );
    for note in [
        "random minute `~` has become ",
        "random hour `0~3` has become ",
        "-sn: ",
    ] {
        assert!(told.contains(note), "{told}");
    }
    assert!(!told.contains("differs"), "{told}");
    assert_eq!(import("again").0, toml);
}
