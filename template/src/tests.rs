#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use serde_json::json;
use tidemill_connection::{Connection, Variable};

fn found() -> Found {
    let api = r#"{"conn_type": "http", "host": "api", "login": "me", "password": "pw", "extra": {"v": [2]}}"#;
    let variables = [
        ("region", "eu"),
        ("limits", r#"{"n": 7}"#),
        ("odd key", "x"),
    ];
    let variables = variables.map(|(key, value)| (key.to_string(), Variable::new(key, value)));
    Found {
        connections: BTreeMap::from([("api".to_string(), Connection::parse("api", api).unwrap())]),
        variables: BTreeMap::from(variables),
        wrong: Vec::new(),
    }
}

pub(crate) fn facts() -> Facts {
    let upstream = TaskFacts {
        state: "success".to_string(),
        states: BTreeMap::from([("success".to_string(), 2)]),
        values: BTreeMap::from([
            ("return_value".to_string(), json!("42")),
            ("rows".to_string(), json!([3, 1, 2])),
        ]),
        outputs_file: Some("/runs/7/count.ndjson".to_string()),
    };
    let at = Ts::parse("2026-11-20T06:00:00Z", &jiff::tz::TimeZone::UTC).ok();
    Facts {
        dag_id: "orders".to_string(),
        timezone: "Europe/Paris".to_string(),
        run_id: "scheduled__2026-11-20".to_string(),
        run_type: "scheduled".to_string(),
        logical_date: at,
        data_interval_start: at,
        data_interval_end: at,
        run_after: at,
        run_started_at: at,
        params: json!({"region": "eu; rm -rf /", "full": true, "n": 3})
            .as_object()
            .unwrap()
            .clone(),
        conf: serde_json::Map::new(),
        task_id: "load".to_string(),
        try_number: 2,
        map_index: -1,
        map: json!({"day": "mon"}).as_object().unwrap().clone(),
        tasks: BTreeMap::from([("count".to_string(), upstream)]),
        trigger: None,
        run_dir: "/runs/1".to_string(),
        result: None,
        asset_events: serde_json::Map::new(),
        looked_up: Default::default(),
        own: Own {
            inlets: vec![json!({"name": "raw", "uri": "s3://lake/raw", "group": "asset"})],
            outlets: Vec::new(),
            map_index_template: Some("{{ map.day }}".to_string()),
        },
        found: Arc::new(found()),
    }
}

fn rendered(text: &str) -> String {
    render(text, &facts()).unwrap_or_else(|err| format!("error: {err}"))
}

#[test]
fn airflows_names_render_as_airflow_renders_them() {
    let expected = [
        ("{{ ds }} {{ ds_nodash }}", "2026-11-20 20261120"),
        ("{{ ts }}", "2026-11-20T06:00:00+00:00"),
        (
            "{{ ts_nodash }} {{ ts_nodash_with_tz }}",
            "20261120T060000 20261120T060000+0000",
        ),
        ("{{ logical_date.strftime('%d.%m.%y') }}", "20.11.26"),
        ("{{ logical_date.add(days=-1) | ds }}", "2026-11-19"),
        (
            "{{ logical_date.subtract(months=1, hours=7).isoformat() }}",
            "2026-10-19T23:00:00+00:00",
        ),
        (
            "{{ logical_date.in_timezone('Europe/Paris') | ts }}",
            "2026-11-20T07:00:00+01:00",
        ),
        ("{{ data_interval_end.timestamp() | int }}", "1795154400"),
        (
            "{{ logical_date.date() }} {{ logical_date.year }}",
            "2026-11-20 2026",
        ),
        ("{{ macros.ds_add(ds, 5) }}", "2026-11-25"),
        (
            "{{ macros.ds_format(ds, '%Y-%m-%d', '%m/%d/%Y') }}",
            "11/20/2026",
        ),
        (
            "{{ dag.dag_id }}/{{ task.task_id }}/{{ ti.try_number }}",
            "orders/load/2",
        ),
        ("{{ ti.xcom_pull(task_ids='count') }}", "42"),
        (
            "{{ ti.xcom_pull(task_ids='count', key='rows') | tojson }}",
            "[3,1,2]",
        ),
        ("{{ dag_run.run_type }}", "scheduled"),
        (
            "{{ inlets[0].uri }} {{ inlets | map(attribute='name') | join }} {{ outlets | length }}",
            "s3://lake/raw raw 0",
        ),
        ("{{ map_index_template }}", "{{ map.day }}"),
        (
            "{{ logical_date == data_interval_start }} {{ none }}",
            "True None",
        ),
    ];
    for (template, text) in expected {
        assert_eq!(rendered(template), text, "{template}");
    }
}

#[test]
fn a_run_without_a_date_has_no_names_of_dates_and_is_its_own_key() {
    let undated = Facts {
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        ..facts()
    };
    for name in DATE_NAMES.iter().chain(INTERVAL_NAMES) {
        let text = format!("{{{{ {name} }}}}");
        assert!(render(&text, &undated).is_err(), "{name}");
        assert!(render(&text, &facts()).is_ok(), "{name}");
        let or_else = format!("{{{{ {name} | default('-') }}}}");
        assert_eq!(render(&or_else, &undated).unwrap(), "-");
        assert_eq!(check(&text).unwrap().dates[0].name, *name);
    }
    let key = "{{ task_instance_key_str }}";
    assert_eq!(rendered(key), "orders__load__20261120");
    assert_eq!(
        render(key, &undated).unwrap(),
        "orders__load__scheduled__2026-11-20"
    );
}

#[test]
fn the_last_success_and_the_number_of_instances_are_told_and_none_where_there_is_none() {
    let day = |text: &str| Ts::parse(text, &jiff::tz::TimeZone::UTC).ok();
    let looked_up = LookedUp {
        last_success: LastSuccess {
            data_interval_start: day("2026-11-18"),
            data_interval_end: day("2026-11-19"),
            started_at: day("2026-11-20T01:00:00Z"),
            ended_at: day("2026-11-20T02:00:00Z"),
        },
        n_instances: Some(3),
    };
    let told = Facts {
        looked_up,
        ..facts()
    };
    let table = [
        (
            "prev_data_interval_start_success",
            "2026-11-18T00:00:00+00:00",
        ),
        (
            "prev_data_interval_end_success",
            "2026-11-19T00:00:00+00:00",
        ),
        ("prev_start_date_success", "2026-11-20T01:00:00+00:00"),
        ("prev_end_date_success", "2026-11-20T02:00:00+00:00"),
        ("expanded_ti_count", "3"),
    ];
    for (name, expected) in table {
        let text = format!("{{{{ {name} }}}}");
        assert_eq!(render(&text, &told).unwrap(), expected, "{name}");
        assert_eq!(
            rendered(&format!("{{{{ {name} is none }}}}")),
            "True",
            "{name}"
        );
        let found = check(&text).unwrap();
        assert_eq!(found.looked_up[0].name, name);
    }
    assert_eq!(check("{{ ds }}").unwrap().looked_up, []);
}

#[test]
fn tasks_params_and_filters_render() {
    let expected = [
        (
            "{{ tasks.count.output | int + 1 }} {{ tasks.count.state }}",
            "43 success",
        ),
        ("{{ tasks.count.outputs.rows | sort | join('-') }}", "1-2-3"),
        ("{{ params.region | quote }}", "'eu; rm -rf /'"),
        (
            "{{ \"it's\" | quote }} {{ '' | quote }} {{ 'a-b' | quote }}",
            "'it'\"'\"'s' '' a-b",
        ),
        (
            "{{ 'Man' | b64encode }} {{ 'Ma' | b64encode }}",
            "TWFu TWE=",
        ),
        (
            "{{ '{\"a\": [1, 2]}' | fromjson | tojson }}",
            "{\"a\":[1,2]}",
        ),
        ("{{ {'a': '<'} | tojson }}", "{\"a\":\"<\"}"),
        (
            "{{ params.get('none', 7) }} {{ params.absent | default('x') }}",
            "7 x",
        ),
        (
            "{{ 'a,b'.split(',') | last }} {{ ' x '.strip().upper() }}",
            "b X",
        ),
        ("{% for n in range(3) %}{{ n }}{% endfor %}", "012"),
        (
            "{{ '5\\n' | int + 1 }} {{ ' 2.5 ' | float }} {{ 'x' | int(default=3) }}",
            "6 2.5 3",
        ),
        ("plain { text } $% {", "plain { text } $% {"),
    ];
    for (template, text) in expected {
        assert_eq!(rendered(template), text, "{template}");
    }
}

#[test]
fn a_single_expression_keeps_its_type() {
    let value = |text: &str| render_value(text, &facts()).unwrap();
    assert_eq!(value("{{ params.full }}"), json!(true));
    assert_eq!(value("{{ tasks.count.outputs.rows }}"), json!([3, 1, 2]));
    assert_eq!(value("{{ params.n }} of {{ params.n }}"), json!("3 of 3"));
    assert_eq!(value("{{ {'a': {'b': 1}} }}"), json!({"a": {"b": 1}}));
    assert_eq!(
        value("{{ logical_date }}"),
        json!("2026-11-20T06:00:00+00:00")
    );
    assert_eq!(value("text"), json!("text"));
}

#[test]
fn a_missing_value_is_an_error_with_its_place() {
    let err = render("at {{ params.absent }}", &facts()).unwrap_err();
    assert_eq!(err.message, "`params.absent` has no value here");
    assert_eq!(err.range, Some(6..19));
    let err = render_value("{{ tasks.gone.output }}", &facts()).unwrap_err();
    assert!(err.message.contains("has no value here"), "{err}");
    let mut manual = facts();
    manual.logical_date = None;
    assert!(render("{{ ds }}", &manual).is_err());
}

#[test]
fn endless_work_and_output_are_stopped() {
    let steps =
        rendered("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}");
    assert!(steps.contains("more than 50000 steps"), "{steps}");
    assert!(rendered("{{ 'x' * 2000000 }}").contains("bytes"));
    assert!(render_value("{{ 'x' * 2000000 }}", &facts()).is_err());
    assert!(rendered("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").starts_with("error"));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(render(&deep, &facts()).is_err());
}

#[test]
fn a_check_lists_names_with_their_places() {
    let text = "{{ dss }} {{ partition_key }} {{ stdout }} {{ ds | shout }}{% set a = 1 %}{{ a }}";
    let found = check(text).unwrap();
    let at = |named: &[Named]| {
        named
            .iter()
            .map(|n| &text[n.range.clone()])
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(at(&found.unknown_names), "dss");
    assert_eq!(at(&found.later_names), "partition_key");
    assert_eq!(at(&found.result_names), "stdout");
    assert_eq!(at(&found.unknown_filters), "shout");
}

#[test]
fn a_check_lists_tasks_and_what_is_used_of_them() {
    let text = "{{ tasks.a.output }} {{ tasks['b'].outputs.rows }} {{ ti.xcom_pull(task_ids=['c', 'd'], key='k') }}";
    let found = check(text).unwrap();
    let tasks: Vec<&str> = found
        .tasks
        .iter()
        .map(|one| one.task.name.as_str())
        .collect();
    assert_eq!(tasks, ["a", "b", "c", "d"]);
    assert_eq!(found.tasks[0].value, TaskValue::Output);
    assert_eq!(&text[found.tasks[0].task.range.clone()], "a");
    assert_eq!(&text[found.tasks[1].task.range.clone()], "'b'");
    assert!(matches!(&found.tasks[1].value, TaskValue::Key(key) if key.name == "rows"));
    assert!(matches!(&found.tasks[3].value, TaskValue::Key(key) if key.name == "k"));
    assert_eq!(
        check("{{ tasks[params.x].output }}")
            .unwrap()
            .unchecked
            .len(),
        1
    );
    assert_eq!(check("{{ ti.xcom_pull() }}").unwrap().unchecked.len(), 1);
}

#[test]
fn a_check_knows_which_outside_values_reach_the_text() {
    let safe = |text: &str| {
        check(text)
            .unwrap()
            .params
            .iter()
            .map(|one| one.is_safe)
            .collect::<Vec<_>>()
    };
    assert_eq!(safe("{{ params.a }}"), [false]);
    assert_eq!(
        safe("{{ params.a | quote }} {{ params['b'] | int }}"),
        [true, true]
    );
    assert_eq!(safe("{{ (params.a ~ params.b) | quote }}"), [true, true]);
    assert_eq!(safe("{{ 'x' if params.a else params.b }}"), [true, false]);
    assert_eq!(safe("{% if params.a %}x{% endif %}"), [true]);
    assert_eq!(safe("{{ params.a | upper }}"), [false]);
    assert!(!check("{{ dag_run.conf.x }}").unwrap().conf[0].is_safe);
}

#[test]
fn a_syntax_error_has_a_place() {
    let err = check("a {{ b | }} c").unwrap_err();
    assert!(err.range.is_some(), "{err:?}");
    assert!(check("{{ 'open").is_err());
}

#[test]
fn every_listed_filter_exists() {
    for filter in analysis::filters() {
        let err = render(&format!("{{{{ 1 | {filter} }}}}"), &facts()).err();
        assert!(
            !err.is_some_and(|err| err.message.contains("unknown")),
            "{filter}"
        );
    }
}

#[test]
fn connections_and_variables_render_by_airflows_names() {
    let expected = [
        ("{{ var.value.region }}", "eu"),
        ("{{ var.value['odd key'] }}", "x"),
        ("{{ var.json.limits.n + 1 }}", "8"),
        ("{{ var.value.get('gone', 'us') }}", "us"),
        ("{{ var.json.get('gone', default_var=3) }}", "3"),
        (
            "{{ conn.api.conn_type }}://{{ conn.api.login }}@{{ conn.api.host }}",
            "http://me@api",
        ),
        (
            "{{ conn.api.extra_dejson.v[0] }} {{ conn['api'].port }}",
            "2 None",
        ),
    ];
    for (template, text) in expected {
        assert_eq!(rendered(template), text, "{template}");
    }
    for template in [
        "{{ var.value.gone }}",
        "{{ var.value.get('gone') }}",
        "{{ var.json.region }}",
        "{{ conn.gone.host }}",
        "{{ conn.api.password }}",
    ] {
        let got = rendered(template);
        assert!(got.starts_with("error: "), "{template}: {got}");
        assert!(!got.contains("pw"), "{got}");
    }
}

#[test]
fn uses_of_connections_and_variables_are_found() {
    let text = "{{ var.value.a }} {{ var.json.b.c }} {{ var.value.get('d', 1) }} {{ conn.e.host }} {{ conn['f'] }}";
    let found = check(text).unwrap();
    assert!(
        found.unknown_names.is_empty() && found.unchecked.is_empty(),
        "{found:?}"
    );
    let shown: Vec<String> = found
        .outside
        .iter()
        .map(|one| match one {
            OutsideUse::Connection { id, field } => {
                let field = field.as_ref().map_or("all", |field| field.name.as_str());
                format!("conn {} {field}", id.name)
            }
            OutsideUse::Variable { key, is_optional } => format!("var {} {is_optional}", key.name),
        })
        .collect();
    let want = [
        "var a false",
        "var b false",
        "var d true",
        "conn e host",
        "conn f all",
    ];
    assert_eq!(shown, want);
    for text in [
        "{{ conn }}",
        "{{ var.a }}",
        "{{ var[params.x] }}",
        "{{ conn[params.x].host }}",
    ] {
        assert_eq!(check(text).unwrap().unchecked.len(), 1, "{text}");
    }
}
