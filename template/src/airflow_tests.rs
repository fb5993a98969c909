//! What templates give, beside what Airflow gives. The right side of each line is what Airflow
//! 3.3.2 (task-sdk 1.3.2, Pendulum 3.3.0) wrote for the left side at the same instant.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::tests::facts;
use super::*;
use crate::scope::{DAG, DAG_RUN, DATES, TASK, TASK_INSTANCE};
use serde_json::json;

/// 2026-11-20T06:05:07.123456Z: what Airflow shortens shows here.
const AT: Ts = Ts(1_795_154_707_123_456);

fn rendered(text: &str) -> String {
    let mut at = facts();
    at.logical_date = Some(AT);
    render(text, &at).unwrap_or_else(|err| format!("error: {err}"))
}

fn hold(table: &[(&str, &str)]) {
    for (text, expected) in table {
        let text = format!("{{{{ {text} }}}}");
        assert_eq!(rendered(&text), *expected, "{text}");
        let found = check(&text).unwrap();
        assert!(
            found.absent.is_empty() && found.unknown_names.is_empty(),
            "{found:?}"
        );
    }
}

/// `sdk:execution_time/task_runner.py: get_template_context`.
#[test]
fn the_names_of_a_date_keep_its_microseconds_where_airflow_does() {
    hold(&[
        ("ds", "2026-11-20"),
        ("ds_nodash", "20261120"),
        ("ts", "2026-11-20T06:05:07.123456+00:00"),
        ("ts_nodash", "20261120T060507"),
        ("ts_nodash_with_tz", "20261120T060507.123456+0000"),
        ("task_instance_key_str", "orders__load__20261120"),
    ]);
}

/// `sdk:definitions/_internal/templater.py: FILTERS`.
#[test]
fn the_filters_of_dates_write_what_the_names_do_and_let_none_through() {
    hold(&[
        ("logical_date | ds", "2026-11-20"),
        ("logical_date | ds_nodash", "20261120"),
        ("logical_date | ts", "2026-11-20T06:05:07.123456+00:00"),
        ("logical_date | ts_nodash", "20261120T060507"),
        (
            "logical_date | ts_nodash_with_tz",
            "20261120T060507.123456+0000",
        ),
        ("data_interval_end | ts", "2026-11-20T06:00:00+00:00"),
        (
            "data_interval_end | ts_nodash_with_tz",
            "20261120T060000+0000",
        ),
        ("prev_start_date_success | ds", "None"),
        ("prev_start_date_success | ts", "None"),
    ]);
}

/// `sdk:execution_time/macros.py`.
#[test]
fn macros_give_what_airflows_give() {
    hold(&[
        ("macros.ds_add('2015-01-01', 5)", "2015-01-06"),
        ("macros.ds_add('2015-01-06', -5)", "2015-01-01"),
        ("macros.ds_add(ds, -20)", "2026-10-31"),
        (
            "macros.ds_format('2015-01-01', '%Y-%m-%d', '%m-%d-%y')",
            "01-01-15",
        ),
        (
            "macros.ds_format('1/5/2015', '%m/%d/%Y', '%Y-%m-%d')",
            "2015-01-05",
        ),
        (
            "macros.ds_format('12/07/2024', '%d/%m/%Y', '%A %d %B %Y')",
            "Friday 12 July 2024",
        ),
        (
            "macros.datetime.strptime(ds, '%Y-%m-%d').strftime('%d.%m.')",
            "20.11.",
        ),
        (
            "macros.datetime.fromisoformat('2026-03-01T04:05:06+00:00').hour",
            "4",
        ),
        (
            "macros.datetime(2026, 3, 1, 4).strftime('%Y-%m-%d %H:%M')",
            "2026-03-01 04:00",
        ),
        ("macros.json.loads('{\"a\": [1, 2]}')['a'][1]", "2"),
        ("macros.json.dumps([1])", "[1]"),
    ]);
}

/// Pendulum's `DateTime`, which Airflow's dates are.
#[test]
fn dates_do_what_pendulums_do() {
    hold(&[
        (
            "logical_date.format('YYYY-MM-DD HH:mm:ss.SSS')",
            "2026-11-20 06:05:07.123",
        ),
        (
            "logical_date.format('D. MMMM YY, h:mm A')",
            "20. November 26, 6:05 AM",
        ),
        (
            "logical_date.format('dddd [at] H[h] DDDD ZZ Z')",
            "Friday at 6h 324 +0000 +00:00",
        ),
        (
            "logical_date.format('M/D/YYYY ddd SSSSSS X 100%')",
            "11/20/2026 Fri 123456 1795154707 100%",
        ),
        ("logical_date.strftime('%f %%f %j')", "123456 %f 324"),
        ("data_interval_end.strftime('%f')", "000000"),
        ("logical_date.int_timestamp", "1795154707"),
        ("logical_date.timestamp()", "1795154707.123456"),
        (
            "logical_date.isoformat()",
            "2026-11-20T06:05:07.123456+00:00",
        ),
        ("logical_date.to_date_string()", "2026-11-20"),
        ("logical_date.to_datetime_string()", "2026-11-20 06:05:07"),
        ("logical_date.weekday()", "4"),
        ("logical_date.day_of_year", "324"),
        ("logical_date.add(months=3).date()", "2027-02-20"),
        (
            "logical_date.replace(day=1, hour=0) | ts",
            "2026-11-01T00:05:07.123456+00:00",
        ),
        (
            "logical_date.replace(month=2, day=3, microsecond=5) | ts",
            "2026-02-03T06:05:07.000005+00:00",
        ),
        (
            "logical_date.start_of('hour') | ts",
            "2026-11-20T06:00:00+00:00",
        ),
        (
            "logical_date.start_of('day') | ts",
            "2026-11-20T00:00:00+00:00",
        ),
        (
            "logical_date.start_of('week') | ts",
            "2026-11-16T00:00:00+00:00",
        ),
        (
            "logical_date.start_of('month') | ts",
            "2026-11-01T00:00:00+00:00",
        ),
        (
            "logical_date.start_of('year') | ts",
            "2026-01-01T00:00:00+00:00",
        ),
        (
            "logical_date.end_of('minute') | ts",
            "2026-11-20T06:05:59.999999+00:00",
        ),
        (
            "logical_date.end_of('week') | ts",
            "2026-11-22T23:59:59.999999+00:00",
        ),
        (
            "logical_date.end_of('month') | ts",
            "2026-11-30T23:59:59.999999+00:00",
        ),
        (
            "logical_date.in_timezone('America/New_York').start_of('day') | ts",
            "2026-11-20T00:00:00-05:00",
        ),
    ]);
}

#[test]
fn what_dates_cannot_do_is_an_error_and_no_other_text() {
    for text in [
        "logical_date.format('Do MMMM')",
        "logical_date.format('Q')",
        "logical_date.replace(month=13)",
        "logical_date.replace(decade=1)",
        "logical_date.start_of('fortnight')",
        "macros.datetime(2026, 2, 30)",
        "macros.json.loads('{')",
    ] {
        let got = rendered(&format!("{{{{ {text} }}}}"));
        assert!(got.starts_with("error: "), "{text}: {got}");
    }
}

/// `sdk:execution_time/task_runner.py: xcom_pull`; a default stands wherever there is no value, as
/// its description says.
#[test]
fn values_are_pulled_by_task_key_and_index() {
    let mut mapped = facts();
    let resize = TaskFacts {
        values: BTreeMap::from([("return_value".to_string(), json!([7, null, 9]))]),
        ..TaskFacts::default()
    };
    mapped.tasks.insert("resize".to_string(), resize);
    for (arguments, expected) in [
        ("'count'", json!("42")),
        ("task_ids='count', key='rows'", json!([3, 1, 2])),
        ("task_ids='count', key='gone'", json!(null)),
        ("task_ids='count', key='gone', default=0", json!(0)),
        ("task_ids='count', default=0", json!("42")),
        ("task_ids=['count', 'resize']", json!(["42", [7, null, 9]])),
        ("task_ids='resize'", json!([7, null, 9])),
        ("task_ids='resize', map_indexes=2", json!(9)),
        ("task_ids='resize', map_indexes=[0, 2]", json!([7, 9])),
        ("task_ids='resize', map_indexes=1", json!(null)),
        ("task_ids='resize', map_indexes=8, default='-'", json!("-")),
        ("task_ids='resize', map_indexes=none", json!([7, null, 9])),
    ] {
        let text = format!("{{{{ ti.xcom_pull({arguments}) }}}}");
        assert_eq!(render_value(&text, &mapped).unwrap(), expected, "{text}");
        assert_eq!(check(&text).unwrap().unchecked, [], "{text}");
    }
    for arguments in [
        "task_ids='count', dag_id='other'",
        "task_ids='count', run_id='r'",
        "task_ids='count', include_prior_dates=true",
        "'count', 'other'",
        "key='rows'",
        "task_ids=params.n",
    ] {
        let text = format!("{{{{ ti.xcom_pull({arguments}) }}}}");
        assert_eq!(check(&text).unwrap().unchecked.len(), 1, "{text}");
    }
    let inner =
        check("{{ ti.xcom_pull(task_ids='a', default=tasks.b.output ~ nothing) }}").unwrap();
    assert_eq!((inner.tasks.len(), inner.unknown_names.len()), (2, 1));
}

/// `sdk:execution_time/context.py: VariableAccessor.get`.
#[test]
fn a_variable_may_be_missing_where_the_template_says_what_holds_then() {
    hold(&[
        ("var.value.get('gone', 'us')", "us"),
        ("var.value.get('gone', default='us')", "us"),
        ("var.json.get('gone', default=none)", "None"),
        ("var.json.get('gone', none)", "None"),
        ("var.value.get('gone', default_var='us')", "us"),
        ("var.value.get('region', default='us')", "eu"),
    ]);
}

#[test]
fn every_field_that_is_known_is_there_and_no_other() {
    let roots = [
        ("dag", DAG),
        ("dag_run", DAG_RUN),
        ("task", TASK),
        ("ti", &TASK_INSTANCE[..TASK_INSTANCE.len() - 1]),
        ("task_instance", &TASK_INSTANCE[..TASK_INSTANCE.len() - 1]),
        ("logical_date", crate::moment::FIELDS),
    ];
    for (root, fields) in roots {
        for field in fields {
            let text = format!("{{{{ {root}.{field} is defined }}}}");
            assert_eq!(rendered(&text), "True", "{text}");
            assert_eq!(check(&text).unwrap().absent, [], "{text}");
        }
        let text = format!("{{{{ {root}.nothing }}}} {{{{ {root}.call() }}}}");
        let found = check(&text).unwrap();
        let absent: Vec<&str> = found
            .absent
            .iter()
            .map(|one| one.named.name.as_str())
            .collect();
        assert_eq!(absent, [format!("{root}.nothing"), format!("{root}.call")]);
        assert_eq!(&text[found.absent[0].named.range.clone()], "nothing");
        assert_eq!(&text[found.absent[1].named.range.clone()], "call");
        assert!(found.absent[0].instead.contains(fields[0]), "{found:?}");
    }
    assert_eq!(TASK_INSTANCE.last(), Some(&"xcom_pull"));
    for root in DATES {
        let absent = check(&format!("{{{{ {root}.nothing }}}}")).unwrap().absent;
        assert_eq!(absent.len(), 1, "{root}");
    }
    // A name of the template's own is its own affair.
    assert_eq!(
        check("{% set dag = params.d %}{{ dag.x }}").unwrap().absent,
        []
    );
}

#[test]
fn every_method_that_is_known_is_there() {
    for method in crate::moment::METHODS {
        let got = rendered(&format!("{{{{ logical_date.{method}() }}}}"));
        assert!(!got.contains("has no"), "{method}: {got}");
    }
    for method in crate::macros::MACROS {
        let text = format!("{{{{ macros.{method} }}}}");
        assert_eq!(check(&text).unwrap().absent, [], "{method}");
    }
}

/// `sdk:definitions/context.py`, and the names of Airflow 2 that its version 3 has dropped.
#[test]
fn names_of_airflow_without_a_value_here_are_told_with_what_to_write() {
    let table = [
        ("execution_date", "logical_date"),
        ("next_ds", "data_interval_end | ds"),
        ("prev_ds", "macros.ds_add(ds, -1)"),
        ("tomorrow_ds", "macros.ds_add(ds, 1)"),
        ("yesterday_ds_nodash", "macros.ds_add(ds, -1) | ds_nodash"),
        (
            "prev_execution_date_success",
            "prev_data_interval_start_success",
        ),
        ("next_execution_date", "data_interval_end"),
        ("conf.get('core', 'x')", "dag_run.conf"),
        ("templates_dict.a", "env"),
        ("inlet_events", "triggering_asset_events"),
        ("outlet_events", "extra"),
        ("task_reschedule_count", "one try"),
        ("task_state_store", "outputs"),
        ("asset_state_store", "extra"),
        ("macros.timedelta(days=1)", "subtract(days=1)"),
        ("macros.dateutil.parser", "add(months=1)"),
        ("macros.uuid.uuid4()", "run_id"),
        ("macros.random()", "let the task"),
        ("macros.time.time()", "let the task"),
        ("macros.yaml.dump(ds)", "macros.json"),
        ("macros.ds_format_locale(ds, 'a', 'b')", "macros.ds_format"),
        (
            "macros.datetime_diff_for_humans(logical_date)",
            "timestamp()",
        ),
    ];
    for (text, instead) in table {
        let found = check(&format!("{{{{ {text} }}}}")).unwrap();
        assert_eq!(found.absent.len(), 1, "{text}");
        assert!(
            found.absent[0].instead.contains(instead),
            "{:?}",
            found.absent[0]
        );
        assert!(found.unknown_names.is_empty(), "{text}");
    }
}
