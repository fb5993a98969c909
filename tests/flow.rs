//! Rules, branches, setup and teardown, retries and mapping on the real program: by `run`, and on
//! a server that is killed and comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Place, http, project, told};

/// A run's tasks as `name state`, or `name[i] state` for an instance of a mapped task.
fn states(tasks: &[Value]) -> Vec<String> {
    let mut told: Vec<String> = tasks
        .iter()
        .map(|task| {
            let name = task["task_id"].as_str().unwrap();
            let state = task["state"].as_str().unwrap_or("none");
            match task["map_index"].as_i64() {
                None | Some(-1) => format!("{name} {state}"),
                Some(index) => format!("{name}[{index}] {state}"),
            }
        })
        .collect();
    told.sort();
    told
}

/// Runs a text without a server; the state of the run and its tasks.
fn run(text: &str) -> (String, Vec<Value>) {
    let place = Place::new();
    let file = place.write_dag("flow.toml", text);
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    let run: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    let state = run["state"].as_str().unwrap().to_string();
    (state, run["task_instances"].as_array().unwrap().clone())
}

/// Where the API tells of a run's tasks.
fn instances(dag: &str, run: &str) -> String {
    let run = http::escape(run);
    format!("/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(project().join("dags").join(name)).unwrap()
}

#[test]
fn the_branches_of_the_example_go_one_way_each() {
    let (state, tasks) = run(&example("branches.toml"));
    assert_eq!(state, "success");
    let told = states(&tasks);
    for expect in [
        "choose success",
        "join success",
        "alarm skipped",
        "has_none success",
    ] {
        assert!(told.contains(&expect.to_string()), "{told:?}");
    }
    let way = |name: &str| {
        let task = tasks.iter().find(|task| task["task_id"] == name).unwrap();
        task["state"].as_str().unwrap().to_string()
    };
    assert_ne!(way("many"), way("few"));
    assert_ne!(way("report"), way("rest"));
    let choose = tasks.iter().find(|task| task["task_id"] == "choose");
    let chosen = choose.unwrap()["output"][0].as_str().unwrap();
    assert_eq!(way(chosen), "success");
}

/// A Sunday evening in UTC is five o'clock on Monday in Tokyo.
const BY_CLOCK: &str = "
[dag]
timezone = 'Asia/Tokyo'
[tasks.day.branch]
look_at = 'logical_date'
cases = [
    { days = 'sun', then = 'sunday' },
    { days = ['tue'], then = 'tuesday' },
    { days = ['wed', 'mon'], then = 'monday' },
]
[tasks.hour.branch]
look_at = 'logical_date'
cases = [
    { between = ['04:00', '05:00'], then = 'ended' },
    { between = ['20:00', '21:00'], then = 'by_utc' },
    { between = ['23:00', '05:01'], then = 'by_zone' },
]
[tasks]
sunday = { depends_on = 'day', shell = 'true' }
monday = { depends_on = 'day', shell = 'true' }
tuesday = { depends_on = 'day', shell = 'true' }
ended = { depends_on = 'hour', shell = 'true' }
by_utc = { depends_on = 'hour', shell = 'true' }
by_zone = { depends_on = 'hour', shell = 'true' }
";

#[test]
fn a_branch_by_day_and_time_looks_at_the_logical_date_in_the_zone_of_the_dag() {
    let place = Place::new();
    place.write_dag("clock.toml", BY_CLOCK);
    let server = place.serve();
    server.wait_for_dag("clock");
    let run = place.trigger("clock", &["--logical-date", "2026-03-01T20:00:00Z"]);
    assert_eq!(server.wait_for_end("clock", &run)["state"], "success");
    let expect = [
        "by_utc skipped",
        "by_zone success",
        "day success",
        "ended skipped",
        "hour success",
        "monday success",
        "sunday skipped",
        "tuesday skipped",
    ];
    assert_eq!(states(&server.tasks("clock", &run)), expect);
}

#[test]
fn a_branch_that_names_nothing_of_the_dag_fails_and_says_what_there_is() {
    let (state, tasks) = run("
[tasks.choose]
branch = \"{{ 'elsewhere' }}\"
[tasks.here]
depends_on = ['choose']
shell = 'true'
");
    assert_eq!(state, "failed");
    assert_eq!(states(&tasks), ["choose failed", "here upstream_failed"]);
}

#[test]
fn the_teardown_of_the_example_runs_although_a_task_failed() {
    let (state, tasks) = run(&example("setup_and_teardown.toml"));
    assert_eq!(state, "success");
    assert_eq!(
        states(&tasks),
        [
            "note_the_failure success",
            "start success",
            "stop success",
            "try_the_impossible failed",
            "use success"
        ]
    );
}

#[test]
fn a_run_that_fails_once_is_run_again_as_a_whole() {
    let (state, tasks) = run("
[dag]
retries = 2
retry_delay = '10ms'
[tasks]
ok = 'true'
[tasks.flaky]
depends_on = ['ok']
shell = 'test $TIDEMILL_TRY_NUMBER = 3'
");
    assert_eq!(state, "success");
    let tries: Vec<_> = tasks
        .iter()
        .map(|task| task["try_number"].as_i64())
        .collect();
    assert_eq!(tries, [Some(1), Some(3)]);
}

#[test]
fn a_policy_ends_retries_that_cannot_help() {
    let (state, tasks) = run("
[tasks.t]
retries = 5
retry_delay = '10ms'
shell = 'exit $((74 + TIDEMILL_TRY_NUMBER))'
[[tasks.t.retry_policy]]
exit_code = 76
action = 'fail'
");
    assert_eq!(state, "failed");
    assert_eq!(tasks[0]["try_number"], 2);
}

#[test]
fn instances_of_a_mapped_task_see_their_values_and_others_see_them_as_a_list() {
    let (state, tasks) = run("
[params]
days = ['mon', 'tue']
[tasks.many]
expand = { day = '{{ params.days }}', n = [1, 2] }
map_index_template = '{{ map.day }}/{{ map.n }}'
env = { N = '{{ map.n }}' }
shell = 'test $TIDEMILL_MAP_DAY$N != tue1 && echo $TIDEMILL_MAP_DAY$N'
[tasks.told]
depends_on = ['many']
trigger_rule = 'all_done'
shell = \"echo '{{ tasks.many.output | tojson }} {{ tasks.many.states.success }} {{ tasks.many.state }}'\"
");
    assert_eq!(state, "success");
    let of = |name: &str, index: i64| {
        let is = |task: &&Value| task["task_id"] == name && task["map_index"] == index;
        tasks.iter().find(is).unwrap().clone()
    };
    assert_eq!(of("many", 2)["state"], "failed");
    assert_eq!(of("many", 3)["rendered_map_index"], "tue/2");
    assert_eq!(of("many", 1)["output"], "mon2");
    assert_eq!(
        of("told", -1)["output"],
        "[\"mon1\",\"mon2\",null,\"tue2\"] 3 failed"
    );
}

#[test]
fn a_list_that_is_none_fails_the_task_with_its_value() {
    let place = Place::new();
    let text = "[params]\nn = 3\n[tasks.t]\nexpand = { x = '{{ params.n }}' }\nshell = 'true'\n";
    let file = place.write_dag("flow.toml", text);
    let output = place.call(&["run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(20), "{}", told(&output));
    assert!(
        told(&output).contains("expand.x must be a list, it is 3"),
        "{}",
        told(&output)
    );
}

const MAPPED: &str = "
[tasks.list]
shell = { command = 'cat PLACE/list', output = 'json' }
[tasks.many]
depends_on = ['list']
expand = { word = '{{ tasks.list.output }}' }
shell = 'until [ -e PLACE/go ]; do sleep 0.05; done; echo $TIDEMILL_MAP_WORD'
[tasks.last]
depends_on = ['many']
shell = 'true'
";

#[test]
fn a_mapped_run_survives_a_kill_and_is_expanded_anew_when_it_is_cleared() {
    let place = Place::new();
    let at = |name: &str| place.folder().join(name);
    std::fs::write(at("list"), "[\"a\", \"b\", \"c\"]").unwrap();
    let text = MAPPED.replace("PLACE", place.folder().to_str().unwrap());
    place.write_dag(
        "mapped.toml",
        &text.replace("[tasks.many]", "[tasks.many]\non_lost = 'retry'"),
    );
    let mut server = place.serve();
    server.wait_for_dag("mapped");
    let run = place.trigger("mapped", &[]);
    let address = instances("mapped", &run);
    support::waiting::wait_for("three instances that run", support::PATIENCE, || {
        let listed = server.body(&format!("{address}/many/listMapped"));
        let all = listed["task_instances"].as_array()?.clone();
        let runs = |task: &Value| task["state"] == "running";
        (all.len() == 3 && all.iter().all(runs)).then_some(())
    });
    server.signal(Signal::KILL);
    server.wait_until_gone();
    std::fs::write(at("go"), "").unwrap();
    let server = place.serve();
    let ended = server.wait_for_end("mapped", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    let expect = [
        "last success",
        "list success",
        "many[0] success",
        "many[1] success",
        "many[2] success",
    ];
    assert_eq!(states(&server.tasks("mapped", &run)), expect);
    let second = server.body(&format!("{address}/many/1"));
    assert_eq!(second["try_number"], 2, "{second}");
    let value = server.body(&format!(
        "{address}/many/xcomEntries/return_value?map_index=1"
    ));
    assert_eq!(value["value"], "b", "{value}");

    // One instance again: the others stay as they are.
    let wish = json!({"dry_run": false, "dag_run_id": run, "task_ids": [["many", 1]], "only_failed": false});
    let (status, answer) = server.send("POST", "/api/v2/dags/mapped/clearTaskInstances", &wish);
    assert_eq!(status, 200, "{answer}");
    server.wait_for_end("mapped", &run);
    assert_eq!(server.body(&format!("{address}/many/1"))["try_number"], 3);
    assert_eq!(server.body(&format!("{address}/many/0"))["try_number"], 2);

    // All of it again, over a shorter list.
    std::fs::write(at("list"), "[\"z\"]").unwrap();
    let wish = json!({"dry_run": false, "dag_run_id": run, "only_failed": false});
    let (status, answer) = server.send("POST", "/api/v2/dags/mapped/clearTaskInstances", &wish);
    assert_eq!(status, 200, "{answer}");
    let ended = server.wait_for_end("mapped", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    let expect = [
        "last success",
        "list success",
        "many[0] success",
        "many[1] removed",
        "many[2] removed",
    ];
    assert_eq!(states(&server.tasks("mapped", &run)), expect);
    let page = place.call(&["tasks", "list", &format!("mapped/{run}")]);
    assert!(page.status.success(), "{}", told(&page));
}

const IN_STEP: &str = "
[tasks.convert]
on_lost = 'retry'
expand = { n = [0, 1] }
shell = 'test $TIDEMILL_MAP_N = 0 || until [ -e PLACE/go ]; do sleep 0.05; done; echo made $TIDEMILL_MAP_N'
[tasks.resize]
expand = { r = { each = 'convert' } }
shell = 'echo resized $TIDEMILL_MAP_R'
[tasks.all]
depends_on = ['resize']
env = { ALL = '{{ tasks.resize.outputs_file }}' }
shell = { command = 'cat $ALL', output = 'stdout' }
";

#[test]
fn an_instance_in_step_is_done_before_the_others_above_and_survives_a_kill() {
    let place = Place::new();
    let text = IN_STEP.replace("PLACE", place.folder().to_str().unwrap());
    place.write_dag("steps.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("steps");
    let run = place.trigger("steps", &[]);
    let address = instances("steps", &run);
    // What `convert[1]` waits for is not there before this is over.
    support::waiting::wait_for("the first instance below", support::PATIENCE, || {
        let all = states(&server.tasks("steps", &run));
        let is_done = all.contains(&"resize[0] success".to_string());
        (is_done && all.contains(&"convert[1] running".to_string())).then_some(())
    });
    let second = server.body(&format!("{address}/resize/1"));
    assert_eq!(second["state"], Value::Null, "{second}");
    server.signal(Signal::KILL);
    server.wait_until_gone();
    std::fs::write(place.folder().join("go"), "").unwrap();
    let server = place.serve();
    let ended = server.wait_for_end("steps", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    let tries = |name: &str, index: i64| {
        let task = server.body(&format!("{address}/{name}/{index}"));
        task["try_number"].as_i64().unwrap()
    };
    assert_eq!((tries("resize", 0), tries("resize", 1)), (1, 1));
    let value = server.body(&format!("{address}/all/xcomEntries/return_value"));
    let expect = "{\"return_value\":\"resized made 0\"}\n{\"return_value\":\"resized made 1\"}";
    assert_eq!(value["value"].as_str().unwrap().trim_end(), expect);

    // One index again, with what is below it: the other one stays as it is.
    let wish = json!({"dry_run": false, "dag_run_id": run, "task_ids": [["convert", 1]],
                      "only_failed": false, "include_downstream": true});
    let (status, answer) = server.send("POST", "/api/v2/dags/steps/clearTaskInstances", &wish);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["total_entries"], 3, "{answer}");
    let ended = server.wait_for_end("steps", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    assert_eq!((tries("resize", 0), tries("resize", 1)), (1, 2));
}

const BY_INDEX: &str = "
[tasks.convert]
expand = { status = [0, 1, 99] }
shell = 'echo made $TIDEMILL_MAP_STATUS; exit $TIDEMILL_MAP_STATUS'
[tasks.resize]
expand = { r = { each = 'convert' } }
shell = 'echo resized $TIDEMILL_MAP_R'
[tasks.always]
expand = { r = { each = 'convert' } }
trigger_rule = 'all_done'
env = { R = '{{ map.r }}' }
outputs = { size = '{{ stdout | length }}' }
shell = 'echo got $R'
[tasks.all]
depends_on = ['resize', 'always']
trigger_rule = 'all_done'
env = { A = '{{ tasks.resize.outputs_file }}', B = '{{ tasks.always.outputs_file }}' }
shell = { command = 'cat $A $B', output = 'stdout' }
[tasks.none]
expand = { n = [] }
on_empty = 'continue'
shell = 'true'
[tasks.below]
expand = { r = { each = 'none' } }
shell = 'true'
[tasks.lines]
depends_on = ['below']
trigger_rule = 'all_done'
env = { A = '{{ tasks.below.outputs_file }}' }
shell = 'wc -l < $A'
";

#[test]
fn what_becomes_of_one_instance_is_its_own_index_alone() {
    let (state, tasks) = run(BY_INDEX);
    assert_eq!(state, "success");
    let expect = [
        "all success",
        "always[0] success",
        "always[1] success",
        "always[2] success",
        "below skipped",
        "convert[0] success",
        "convert[1] failed",
        "convert[2] skipped",
        "lines success",
        "none success",
        "resize[0] success",
        "resize[1] upstream_failed",
        "resize[2] skipped",
    ];
    assert_eq!(states(&tasks), expect);
    let output = |name: &str| {
        let task = tasks.iter().find(|task| task["task_id"] == name).unwrap();
        task["output"].as_str().unwrap().trim_end().to_string()
    };
    let lines: Vec<Value> = output("all")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expect = json!([
        {"return_value": "resized made 0"}, null, null,
        {"return_value": "got made 0", "size": 11},
        {"return_value": "got None", "size": 9},
        {"return_value": "got None", "size": 9},
    ]);
    assert_eq!(json!(lines), expect);
    assert_eq!(output("lines"), "0");
}

#[test]
fn a_run_with_a_parameter_that_does_not_fit_is_refused_with_the_reason() {
    let place = Place::new();
    place.write_dag(
        "params.toml",
        "[params.region]\ndefault = 'eu-1'\npattern = '^[a-z]+-[0-9]$'\n[params.hosts]\ndefault = []\nuniqueItems = true\nitems = { required = ['name'], properties = { day = { format = 'date' } } }\n[tasks]\nt = 'test \"$TIDEMILL_PARAM_REGION\" = us-2'\n",
    );
    let server = place.serve();
    server.wait_for_dag("params");
    let cases = [
        ("region=\"US\"", "`region` must match `^[a-z]+-[0-9]$`"),
        ("hosts=[{\"name\": 1}, {}]", "`hosts` at [1] has no `name`"),
        (
            "hosts=[{\"name\": 1, \"day\": \"soon\"}]",
            "`hosts` at [0].day must be a date",
        ),
        (
            "hosts=[{\"name\": 1}, {\"name\": 1.0}]",
            "`hosts` has the item",
        ),
    ];
    for (param, why) in cases {
        let refused = place.call(&["dags", "trigger", "params", "--param", param]);
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        assert!(told(&refused).contains(why), "{}", told(&refused));
    }
    let body = json!({"logical_date": null, "conf": {"region": "US"}});
    let (status, answer) = server.send("POST", "/api/v2/dags/params/dagRuns", &body);
    assert_eq!(status, 400, "{answer}");
    assert!(server.runs("params").is_empty());
    let run = place.trigger("params", &["--param", "region=us-2"]);
    assert_eq!(server.wait_for_end("params", &run)["state"], "success");
}

#[test]
fn a_task_sees_its_own_assets_and_what_its_instances_are_called() {
    let (state, tasks) = run("
[assets.raw]
uri = 's3://lake/raw'
[assets.clean]
[tasks.one]
inlets = ['raw']
outlets = ['clean']
env = { FROM = '{{ inlets[0].uri }}', TO = \"{{ outlets | map(attribute='name') | join(',') }}\" }
shell = 'echo $FROM to $TO'
[tasks.many]
expand = { day = ['mon'] }
map_index_template = 'on {{ map.day }}'
env = { CALLED = '{{ map_index_template }}', NONE = '{{ inlets | length }}' }
shell = 'echo $CALLED $NONE'
");
    assert_eq!(state, "success");
    let output = |name: &str| {
        let task = tasks.iter().find(|task| task["task_id"] == name).unwrap();
        task["output"].clone()
    };
    assert_eq!(output("one"), "s3://lake/raw to clean");
    assert_eq!(output("many"), "on {{ map.day }} 0");
}
