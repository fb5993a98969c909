//! What templates name: is it there, and in every run that the DAG may have?

use super::{found, good, load};
use tidemill_template::{DATE_NAMES, INTERVAL_NAMES};

const SCHEDULE: &str = "[dag]\nschedule = '@daily'\n";
const ASSETS: &str = "[dag]\nschedule = { assets = ['a'] }\n[assets.a]\n";
const KAFKA: &str = "[triggers.k.kafka]\nbrokers = ['h:1']\ntopics = ['x']\n";
const HOOK: &str = "[triggers.h.webhook]\nsecret = 'hook'\n";
const FILE: &str = "[triggers.f.file]\npath = '/in/*.csv'\n";

/// A file in which a task renders this text, beside what the DAG says.
fn rendering(header: &str, text: &str) -> String {
    format!("{header}[tasks.t]\nshell = 'true'\nenv = {{ A = \"{{{{ {text} }}}}\" }}\n")
}

fn codes(source: &str) -> Vec<String> {
    let found = found(source).into_iter();
    found.map(|one| one[..6].to_string()).collect()
}

/// Airflow leaves the names of dates out of the context where a run has no logical date
/// (`sdk:execution_time/task_runner.py: get_template_context`); a run of Kafka's has the interval
/// of its records.
#[test]
fn each_name_of_a_date_is_warned_of_where_runs_are_made_that_lack_it() {
    let table = [
        ("", false, false),
        (SCHEDULE, false, false),
        (ASSETS, true, true),
        (HOOK, true, true),
        (FILE, true, true),
        (KAFKA, true, false),
    ];
    for (header, without_date, without_interval) in table {
        for name in DATE_NAMES {
            let expected: &[&str] = if without_date { &["TM0314"] } else { &[] };
            assert_eq!(codes(&rendering(header, name)), expected, "{header}{name}");
        }
        for name in INTERVAL_NAMES {
            let expected: &[&str] = if without_interval { &["TM0314"] } else { &[] };
            assert_eq!(codes(&rendering(header, name)), expected, "{header}{name}");
        }
        // These are in every run.
        for name in [
            "run_id",
            "dag_run.run_after",
            "triggering_asset_events.a",
            "task_instance_key_str",
        ] {
            assert_eq!(codes(&rendering(header, name)), [""; 0], "{header}{name}");
        }
    }
}

#[test]
fn a_trigger_is_warned_of_where_a_schedule_makes_runs_beside_it() {
    let both = |schedule: &str, trigger: &str| format!("{schedule}{trigger}");
    for trigger in [KAFKA, HOOK, FILE] {
        for schedule in [SCHEDULE, ASSETS] {
            let source = rendering(&both(schedule, trigger), "trigger.name");
            assert_eq!(codes(&source), ["TM0314"], "{source}");
        }
        // Whoever asks for a run by hand, or a template that asks, knows.
        good(&rendering(trigger, "trigger.name"));
        let asks = "trigger.name if trigger is defined else run_id";
        good(&rendering(&both(SCHEDULE, trigger), asks));
        let never =
            "[dag]\nschedule = '@daily'\nallowed_run_types = ['manual', 'asset_triggered']\n";
        good(&rendering(&both(never, trigger), "trigger.name"));
    }
    let place = found(&rendering(
        &both(SCHEDULE, HOOK),
        "run_id ~ trigger.json.id",
    ));
    assert_eq!(place, ["TM0314 7:26"]);
}

#[test]
fn a_name_of_airflow_that_is_not_there_is_told_with_what_is() {
    let help = |text: &str| {
        let source = rendering("", text);
        let place = found(&source);
        let mut told = load(source.as_bytes(), "sample").diagnostics;
        let one = told.remove(0);
        assert!(told.is_empty(), "{told:?}");
        (place[0].clone(), one.message, one.help.unwrap_or_default())
    };
    let at = |column: usize| format!("TM0202 3:{column}");
    let (place, message, told) = help("next_ds");
    assert_eq!(
        (place, told.as_str()),
        (at(17), "write `data_interval_end | ds`")
    );
    assert_eq!(message, "`next_ds` is not known in templates");
    let (place, message, told) = help("dag_run.queued_at");
    assert_eq!(
        (place, message.as_str()),
        (at(25), "`dag_run.queued_at` is not known in templates")
    );
    assert!(told.contains("run_after, start_date"), "{told}");
    let (place, _, told) = help("macros.timedelta(days=1)");
    assert_eq!(place, at(24));
    assert!(told.contains("subtract(days=1)"), "{told}");
    let (place, _, told) = help("ti.xcom_push('a', 1)");
    assert_eq!(place, at(20));
    assert!(told.contains("xcom_pull"), "{told}");
    // A slip of the pen is mended as ever.
    assert_eq!(found(&rendering("", "dss")), ["TM0202 3:17"]);
}

#[test]
fn values_of_other_runs_cannot_be_pulled() {
    let header = "[tasks.a]\nshell = 'true'\n";
    let pull = |arguments: &str| {
        let text = format!("ti.xcom_pull(task_ids='a'{arguments})");
        found(&rendering(header, &text).replace("[tasks.t]\n", "[tasks.t]\ndepends_on = 'a'\n"))
    };
    for fine in ["", ", default=0", ", map_indexes=1", ", key='return_value'"] {
        assert_eq!(pull(fine), [""; 0], "{fine}");
    }
    for other in [", dag_id='b'", ", run_id='r'", ", include_prior_dates=true"] {
        assert_eq!(pull(other), ["TM0208 6:17"], "{other}");
    }
}

/// A trigger's texts are rendered before there is a run: of a name that is not there yet a value
/// would be its default, and nobody would know why.
#[test]
fn a_text_of_a_trigger_sees_what_has_made_the_run_and_nothing_of_the_run() {
    let texts = |text: &str| {
        let params = format!(
            "[params]\nday = ''\n[triggers.h]\nparams = {{ day = \"{{{{ {text} }}}}\" }}\n"
        );
        let hook = "[triggers.h.webhook]\nsecret = 'hook'\n";
        let named = format!("[triggers.h]\nrun_id = \"{{{{ {text} }}}}\"\n");
        let kafka = "[triggers.h.kafka]\nbrokers = ['h:1']\ntopics = ['x']\n";
        let asked =
            format!("[triggers.h.file]\npath = '/in/*.csv'\nrun_if = \"{{{{ {text} }}}}\"\n");
        [format!("{params}{hook}"), format!("{named}{kafka}"), asked]
            .map(|file| codes(&format!("{file}[tasks]\nt = 'true'\n")))
    };
    for fine in [
        "trigger.json.day",
        "macros.ds_add(trigger.json.day, 1)",
        "dag.dag_id ~ range(3) | length",
        "trigger.get('x', 1)",
    ] {
        assert_eq!(texts(fine), [[""; 0]; 3], "{fine}");
    }
    for other in [
        "ds",
        "run_id",
        "params.day",
        "params.get('day')",
        "ti.try_number",
        "var.value.day",
        "conn.x.host",
        "next_ds",
        "nothing",
        "tasks.t.output",
        "ti.xcom_pull(task_ids='t')",
        "dag.nothing",
    ] {
        assert_eq!(texts(other), [["TM0202"]; 3], "{other}");
    }
}
