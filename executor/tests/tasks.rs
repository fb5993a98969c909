//! What a task gets, and what its end means; on real processes.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, shell, shell_with, task, texts, value};
use serde_json::json;
use tidemill_log::{NOTE, STDERR, STDOUT};
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{Secret, ShellBody, ShellOutput};
use tidemill_model::{Operator, Reason};

fn end(place: &mut Place, command: &str) -> (Verdict, Option<Reason>, Option<String>) {
    let (outcome, _) = place.run_shell(command);
    (outcome.verdict, outcome.reason, outcome.message)
}

#[test]
fn an_exit_status_decides_the_verdict() {
    let mut place = Place::new();
    assert_eq!(end(&mut place, "true"), (Verdict::Success, None, None));
    let skipped = (
        Verdict::Skipped,
        Some(Reason::SkippedItself),
        Some("exit 99".to_string()),
    );
    assert_eq!(end(&mut place, "exit 99"), skipped);
    let failed = |text: &str| {
        (
            Verdict::Failed,
            Some(Reason::ExitStatus),
            Some(text.to_string()),
        )
    };
    assert_eq!(end(&mut place, "exit 3"), failed("exit 3"));
    assert_eq!(
        end(&mut place, "echo a >&2; echo bad >&2; exit 1"),
        failed("exit 1: bad")
    );
    assert_eq!(end(&mut place, "false; true"), failed("exit 1"));
    let signal = Some("killed by signal 11 (SIGSEGV)".to_string());
    assert_eq!(
        end(&mut place, "kill -SEGV $$"),
        (Verdict::Failed, Some(Reason::Signal), signal)
    );
    let (outcome, _) = place.run(shell_with("exit 7", |shell| {
        shell.success_exit_codes = vec![7]
    }));
    assert_eq!(
        (outcome.verdict, outcome.exit_code),
        (Verdict::Success, Some(7))
    );
    assert!(outcome.pid.is_some() && outcome.max_rss_kib > 0);
}

#[test]
fn an_empty_task_ends_without_a_process() {
    let mut place = Place::new();
    let (outcome, log) = place.run(task(Operator::Empty));
    assert_eq!(
        (outcome.verdict, outcome.pid, log.len()),
        (Verdict::Success, None, 0)
    );
}

#[test]
fn conditions_skip_and_must_be_boolean() {
    let mut place = Place::new();
    let mut conditional = shell("true");
    conditional.run_if = Some("false".to_string());
    let (outcome, _) = place.run(conditional.clone());
    assert_eq!(outcome.verdict, Verdict::Skipped);
    assert_eq!(outcome.message.as_deref(), Some("run_if is false"));
    conditional.run_if = Some("true".to_string());
    conditional.skip_if = Some("maybe".to_string());
    let (outcome, log) = place.run(conditional);
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Some(Reason::CouldNotStart))
    );
    assert_eq!(
        texts(&log, NOTE),
        ["skip_if must be true or false, it is \"maybe\""]
    );
}

#[test]
fn the_output_is_what_its_mode_says() {
    let mut place = Place::new();
    let command = "echo one; echo '{\"a\": 2}'; echo; printf '  \\n'";
    let mut output = |mode, command: &str| {
        let (outcome, _) = place.run(shell_with(command, |shell| shell.output = mode));
        (value(&outcome, "return_value").cloned(), outcome.reason)
    };
    assert_eq!(
        output(ShellOutput::LastLine, command),
        (Some(json!("{\"a\": 2}")), None)
    );
    assert_eq!(output(ShellOutput::LastLine, "true"), (None, None));
    assert_eq!(
        output(ShellOutput::LastLine, "printf x"),
        (Some(json!("x")), None)
    );
    assert_eq!(
        output(ShellOutput::Stdout, "echo a; echo b"),
        (Some(json!("a\nb")), None)
    );
    assert_eq!(
        output(ShellOutput::Json, "echo '{\"a\":'; echo 2}"),
        (Some(json!({"a": 2})), None)
    );
    assert_eq!(
        output(ShellOutput::Json, "echo hello"),
        (None, Some(Reason::BadOutput))
    );
    assert_eq!(output(ShellOutput::None, "echo a"), (None, None));
    let large = "head -c 1100000 /dev/zero | tr '\\0' x";
    assert_eq!(
        output(ShellOutput::Stdout, large),
        (None, Some(Reason::BadOutput))
    );
}

#[test]
fn an_output_that_looks_into_a_text_is_told_how_it_is_read_as_json() {
    let mut place = Place::new();
    let mut task = shell("echo '{\"n\": 1}'");
    task.outputs = vec![("n".to_string(), "{{ result.n }}".to_string())];
    let (outcome, _) = place.run(task.clone());
    let message = outcome.message.unwrap_or_default();
    assert!(message.contains("`output = \"json\"`"), "{message}");
    task.outputs = vec![("n".to_string(), "{{ stdout.n }}".to_string())];
    let (outcome, _) = place.run(task);
    let message = outcome.message.unwrap_or_default();
    assert!(
        message.contains("no value") && !message.contains("json"),
        "{message}"
    );
}

#[test]
fn values_come_from_the_output_file_and_from_outputs() {
    let mut place = Place::new();
    let command = r#"echo rows=5 >> "$TIDEMILL_OUTPUT"; echo '{"list": [1]}' >> "$TIDEMILL_OUTPUT"; echo done"#;
    let mut with_outputs = shell(command);
    with_outputs.outputs = vec![("fixed".to_string(), "text".to_string())];
    let (outcome, _) = place.run(with_outputs.clone());
    let want = [
        ("return_value", json!("done")),
        ("rows", json!("5")),
        ("list", json!([1])),
        ("fixed", json!("text")),
    ];
    let want: Vec<_> = want
        .into_iter()
        .map(|(key, value)| (key.to_string(), value))
        .collect();
    assert_eq!(outcome.values, want);
    with_outputs.do_xcom_push = false;
    assert!(place.run(with_outputs).0.values.is_empty());
    // The file of a failed task is not the next one's.
    place.run_shell("echo a=1 > \"$TIDEMILL_OUTPUT\"; exit 1");
    assert!(place.run_shell("true").0.values.is_empty());
    let (outcome, _) = place.run_shell("echo nonsense > \"$TIDEMILL_OUTPUT\"");
    assert_eq!(outcome.reason, Some(Reason::BadOutput));
}

/// `sdk:execution_time/context.py: context_to_airflow_vars`; `EXECUTION_DATE` is Airflow 2's.
#[test]
fn scripts_find_what_airflow_tells_them_under_its_names_and_in_its_forms() {
    let mut place = Place::new();
    let mut plain = shell_with("env | grep ^AIRFLOW_ | sort", |shell| {
        shell.output = ShellOutput::Stdout;
    });
    plain.owner = "etl".to_string();
    let (outcome, _) = place.run(plain);
    let expected = [
        "AIRFLOW_CTX_DAG_ID=the_dag",
        "AIRFLOW_CTX_DAG_OWNER=etl",
        "AIRFLOW_CTX_DAG_RUN_ID=manual__1",
        "AIRFLOW_CTX_EXECUTION_DATE=2025-11-21T10:00:00+00:00",
        "AIRFLOW_CTX_LOGICAL_DATE=2025-11-21T10:00:00+00:00",
        "AIRFLOW_CTX_TASK_ID=the_task",
        "AIRFLOW_CTX_TRY_NUMBER=2",
    ];
    let found = value(&outcome, "return_value").unwrap().as_str().unwrap();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_environment_is_an_allow_list_with_tidemills_names() {
    let mut place = Place::new();
    let mut plain = shell_with("env", |shell| shell.output = ShellOutput::Stdout);
    plain.env = vec![
        ("TIDEMILL_EPOCH".to_string(), "mine".to_string()),
        ("DAY".to_string(), "a day".to_string()),
    ];
    let (outcome, _) = place.run(plain.clone());
    let text = value(&outcome, "return_value")
        .unwrap()
        .as_str()
        .unwrap()
        .to_string();
    let lines: Vec<&str> = text.lines().collect();
    let dag_dir = place.path("dag");
    for wanted in [
        "TIDEMILL_DAG_ID=the_dag",
        "TIDEMILL_TASK_ID=the_task",
        "TIDEMILL_RUN_ID=manual__1",
        "TIDEMILL_TRY_NUMBER=2",
        "TIDEMILL_MAP_INDEX=-1",
        "TIDEMILL_DS=2025-11-21",
        "TIDEMILL_LOGICAL_DATE=2025-11-21T10:00:00Z",
        "TIDEMILL_PARAM_REGION=eu",
        "TIDEMILL_PARAM_N_ROWS=7",
        "TIDEMILL_PARAM_NONE=",
        "TIDEMILL_EPOCH=mine",
        "AIRFLOW_CTX_DAG_RUN_ID=manual__1",
        "DAY=a day",
        &format!("TIDEMILL_DAG_DIR={}", dag_dir.display()),
    ] {
        assert!(lines.contains(&wanted), "{wanted} is missing in\n{text}");
    }
    let path = format!("PATH={}:", dag_dir.display());
    assert!(lines.iter().any(|line| line.starts_with(&path)), "{text}");
    let allowed = [
        "HOME",
        "USER",
        "LANG",
        "TZ",
        "TMPDIR",
        "PATH",
        "TRACEPARENT",
        "DAY",
    ];
    let by_shell = ["PWD", "SHLVL", "_", "OLDPWD"];
    let is_known = |name: &str| {
        allowed.contains(&name)
            || by_shell.contains(&name)
            || ["LC_", "TIDEMILL_", "AIRFLOW_CTX_"]
                .iter()
                .any(|start| name.starts_with(start))
    };
    for line in &lines {
        assert!(is_known(line.split('=').next().unwrap()), "{line} leaked");
    }
    plain.inherit_env = false;
    let (outcome, _) = place.run(plain);
    let text = value(&outcome, "return_value")
        .unwrap()
        .as_str()
        .unwrap()
        .to_string();
    assert!(
        text.lines().all(|line| !line.starts_with("HOME=")),
        "{text}"
    );
}

#[test]
fn a_task_starts_in_an_empty_folder_even_after_one_that_left_files() {
    let mut place = Place::new();
    let empty =
        "test -z \"$(ls -A)\"; test \"$PWD\" = \"$TIDEMILL_TASK_DIR\"; touch left; chmod 500 .";
    for _ in 0..3 {
        let (outcome, log) = place.run_shell(empty);
        assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    }
    std::fs::create_dir(place.path("dag/jobs")).unwrap();
    let mut elsewhere = shell("basename \"$PWD\"");
    elsewhere.cwd = Some("jobs".to_string());
    let (outcome, _) = place.run(elsewhere.clone());
    assert_eq!(value(&outcome, "return_value"), Some(&json!("jobs")));
    elsewhere.cwd = Some("nowhere".to_string());
    let (outcome, _) = place.run(elsewhere);
    assert_eq!(outcome.reason, Some(Reason::CouldNotStart));
    assert!(outcome.message.unwrap().contains("nowhere"));
}

#[test]
fn the_run_folder_is_made_for_a_task_that_names_it() {
    let mut place = Place::new();
    place.run_shell("true");
    assert!(!place.path("run").exists());
    let (outcome, _) = place.run_shell("echo x > \"$TIDEMILL_RUN_DIR/file\"");
    assert_eq!(outcome.verdict, Verdict::Success);
    assert!(place.path("run/file").exists());
}

#[test]
fn interpreters_scripts_and_arguments() {
    let mut place = Place::new();
    let mut last = |change: &dyn Fn(&mut tidemill_model::dag::Shell), command: &str| {
        let mut task = shell_with(command, |shell| change(shell));
        task.id = "named".to_string();
        let (outcome, log) = place.run(task);
        let last = value(&outcome, "return_value").cloned();
        last.unwrap_or_else(|| json!(format!("{:?} {:?}", outcome.message, log)))
    };
    let two = |shell: &mut tidemill_model::dag::Shell| {
        shell.args = vec!["a b".to_string(), "$HOME".to_string()];
    };
    assert_eq!(
        last(&two, "echo \"$0|$1|$2|$#\""),
        json!("named|a b|$HOME|2")
    );
    let words = |words: &[&str]| Some(words.iter().map(|word| word.to_string()).collect());
    assert_eq!(
        last(
            &|shell| shell.interpreter = words(&["sh", "-c"]),
            "false; echo on"
        ),
        json!("on")
    );
    let shebang = "#!/usr/bin/env -S sh -e\necho \"sh $1\"";
    assert_eq!(
        last(&|shell| shell.args = vec!["x".to_string()], shebang),
        json!("sh x")
    );
    let long = format!("true {}\necho long", "y".repeat(200_000));
    assert_eq!(last(&|_| {}, &long), json!("long"));
    let missing = last(
        &|shell| shell.interpreter = words(&["no-such-program", "-c"]),
        "x",
    );
    assert!(
        missing
            .as_str()
            .unwrap()
            .contains("cannot find the program `no-such-program`")
    );
    std::fs::write(place.path("dag/job.sh"), "echo \"script $1\"\n").unwrap();
    let script = shell_with("", |shell| {
        shell.body = ShellBody::Script("job.sh".to_string());
        shell.args = vec!["arg".to_string()];
    });
    let (outcome, _) = place.run(script);
    assert_eq!(value(&outcome, "return_value"), Some(&json!("script arg")));
}

#[test]
fn a_task_reads_its_stdin_and_otherwise_nothing() {
    let mut place = Place::new();
    let text = "line\n".repeat(100_000);
    let (outcome, _) = place.run(shell_with("wc -c", |shell| shell.stdin = Some(text)));
    assert_eq!(value(&outcome, "return_value"), Some(&json!("500000")));
    let (outcome, _) = place.run_shell("wc -c");
    assert_eq!(value(&outcome, "return_value"), Some(&json!("0")));
}

#[test]
fn a_task_inherits_three_descriptors_default_signals_and_its_own_session() {
    let mut place = Place::new();
    let command = "ls /proc/self/fd; grep -E 'Sig(Ign|Blk)|NoNewPrivs' /proc/self/status; \
                   test \"$(ps -o sid= -p $$ | tr -d ' ')\" = $$ && echo own session; ulimit -c";
    let (outcome, log) = place.run_shell(command);
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    let lines = texts(&log, STDOUT);
    // 3 is the folder that `ls` reads.
    assert_eq!(lines[..4], ["0", "1", "2", "3"], "{lines:?}");
    assert_eq!(lines[4], "SigBlk:\t0000000000000000", "{lines:?}");
    assert_eq!(lines[5], "SigIgn:\t0000000000000000", "{lines:?}");
    assert_eq!(
        lines[6..],
        ["NoNewPrivs:\t1", "own session", "0"],
        "{lines:?}"
    );
}

#[test]
fn secrets_arrive_and_are_hidden_everywhere() {
    let mut place = Place::new();
    let secret = |env: &str, from: &str, as_file| Secret {
        env: env.to_string(),
        from: from.to_string(),
        as_file,
    };
    let mut with_secrets = shell(
        "test \"$T\" = s3cr3t-value; test \"$(cat \"$F\")\" = s3cr3t-value\n\
         stat -c %a \"$F\"; printf 's3cr3t-'; sleep 0.4; echo value\n\
         echo \"$T\" >&2; echo \"k=$T\" > \"$TIDEMILL_OUTPUT\"; echo \"out $T\"",
    );
    with_secrets.secrets = vec![
        secret("T", "var.token", false),
        secret("F", "var.token", true),
    ];
    with_secrets.uses.add_variable("token", false);
    let (outcome, log) = place.run(with_secrets.clone());
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?}");
    assert_eq!(texts(&log, STDOUT), ["600", "***", "out ***"]);
    assert_eq!(texts(&log, STDERR), ["***"]);
    assert_eq!(value(&outcome, "k"), Some(&json!("***")));
    assert_eq!(value(&outcome, "return_value"), Some(&json!("out ***")));
    assert!(!place.path("home/slots/0/files").exists());
    with_secrets.uses.add_connection("nowhere");
    let (outcome, _) = place.run(with_secrets);
    assert_eq!(outcome.reason, Some(Reason::CouldNotStart));
    assert!(outcome.message.unwrap().contains("TIDEMILL_CONN_NOWHERE"));
}

#[test]
fn a_task_that_is_skipped_may_lack_what_it_would_use() {
    let mut place = Place::new();
    let mut task = shell("true");
    task.uses.add_connection("nowhere");
    task.skip_if = Some("{{ true }}".to_string());
    let (outcome, _) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Skipped);
}

#[test]
fn many_tasks_at_once_all_end() {
    let mut place = Place::new();
    let attempts: Vec<_> = (0..200)
        .map(|n| place.launch(shell(&format!("echo {n}"))))
        .collect();
    let outcomes = place.outcomes(200);
    for (n, attempt) in attempts.iter().enumerate() {
        let outcome = &outcomes[attempt];
        assert_eq!(
            value(outcome, "return_value"),
            Some(&json!(n.to_string())),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_task_can_run_as_another_user_with_nothing_of_ours() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can change the user
    }
    let mut place = Place::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.folder.path(), open).unwrap();
    let mut as_nobody = shell(
        "echo \"$(id -u) $USER\"; grep CapEff /proc/self/status; touch file\n\
         echo k=v > \"$TIDEMILL_OUTPUT\"",
    );
    as_nobody.run_as_user = Some("nobody".to_string());
    let (outcome, log) = place.run(as_nobody.clone());
    assert_eq!(outcome.verdict, Verdict::Success, "{log:?} {outcome:?}");
    assert_eq!(
        texts(&log, STDOUT),
        ["65534 nobody", "CapEff:\t0000000000000000"]
    );
    assert_eq!(value(&outcome, "k"), Some(&json!("v")));
    as_nobody.run_as_user = Some("no-such-user".to_string());
    let (outcome, _) = place.run(as_nobody);
    assert!(outcome.message.unwrap().contains("no user `no-such-user`"));
}
