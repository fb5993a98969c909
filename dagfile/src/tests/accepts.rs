//! What right files become.

use super::good;
use crate::load;
use std::time::Duration;
use tidemill_model::dag::{
    Branch, BranchClock, Case, ConcurrencyPolicy, Gate, OnLost, Operator, Role, ShellBody,
    ShellOutput, When,
};
use tidemill_model::schedule::{First, Interval, Ticks};
use tidemill_model::{Dag, RunType, TriggerRule, Ts};

fn dag(source: &str) -> Dag {
    good(source).dag.unwrap()
}

fn upstream(dag: &Dag, task: &str) -> Vec<String> {
    let index = dag.index_of(task).unwrap();
    dag.graph
        .upstream(index)
        .iter()
        .map(|&at| dag.task(at).id.clone())
        .collect()
}

#[test]
fn the_smallest_file_has_the_defaults_of_the_format() {
    let dag = dag("[tasks]\nhello = 'echo hi'\n");
    assert_eq!(
        (dag.id.as_str(), dag.owner.as_str(), dag.timezone.as_str()),
        ("sample", "tidemill", "UTC")
    );
    assert!(dag.schedule.is_manual());
    assert_eq!(
        (dag.max_active_runs, dag.max_active_tasks, dag.catchup),
        (16, 16, false)
    );
    assert_eq!(dag.allowed_run_types, RunType::ALL);
    let task = &dag.tasks[0];
    assert_eq!(task.retry.retries, 0);
    assert_eq!(task.retry.delay, Duration::from_secs(300));
    assert_eq!(
        (task.on_lost, task.line, task.inherit_env),
        (OnLost::Fail, 2, true)
    );
    let Operator::Shell(shell) = &task.operator else {
        panic!("not a shell task")
    };
    assert_eq!(shell.body, ShellBody::Command("echo hi".to_string()));
    assert_eq!(
        (shell.output, shell.skip_on_exit_code.as_slice()),
        (ShellOutput::LastLine, [99].as_slice())
    );
}

#[test]
fn the_limits_of_a_file_are_read_and_weights_add_up_along_the_graph() {
    let dag = dag("
[params]
region = 'eu'
[dag]
max_active_runs = 2
[dag.concurrency]
key = '{{ params.region }}'
policy = 'replace'
[default_args]
pool = 'warehouse'
[tasks.a]
priority_weight = 5
shell = 'true'
[tasks.b]
depends_on = 'a'
pool_slots = 3
max_active_tis_per_dag = 4
max_active_tis_per_dagrun = 2
shell = 'true'
[tasks.c]
depends_on = ['a', 'b']
pool = 'default_pool'
priority_weight = -1
weight_rule = 'upstream'
shell = 'true'
");
    let concurrency = dag.concurrency.as_ref().unwrap();
    assert_eq!(concurrency.key, "{{ params.region }}");
    assert_eq!(
        (concurrency.limit, concurrency.policy),
        (1, ConcurrencyPolicy::Replace)
    );
    let pools: Vec<&str> = dag.tasks.iter().map(|task| task.pool.as_str()).collect();
    assert_eq!(pools, ["warehouse", "warehouse", "default_pool"]);
    let b = &dag.tasks[1];
    assert_eq!(
        (
            b.pool_slots,
            b.max_active_tis_per_dag,
            b.max_active_tis_per_dagrun
        ),
        (3, Some(4), Some(2))
    );
    let totals: Vec<i64> = dag.tasks.iter().map(|task| task.total_weight).collect();
    assert_eq!(totals, [5 + 1 - 1, 1 - 1, -1 + 5 + 1]);
}

#[test]
fn default_args_merge_key_by_key_and_the_nearest_wins() {
    let dag = dag("
[dag]
owner = 'data'
[default_args]
retries = 3
retry_exponential_backoff = 2.0
env = { A = 'dag', B = 'dag' }
[default_args.shell]
interpreter = ['sh', '-c']
[groups.g]
default_args = { env = { B = 'group' }, queue = 'g', owner = 'group' }
[tasks.one]
group = 'g'
retries = 0
env = { C = 'task' }
shell = 'true'
[tasks.two]
shell = { script = './lib/two.sh', args = ['{{ ds }}'] }
");
    let one = &dag.tasks[0];
    let env: Vec<(&str, &str)> = one
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("A", "dag"), ("B", "group"), ("C", "task")]);
    assert_eq!(
        (one.retry.retries, one.retry.multiplier, one.retry.jitter),
        (0, 2.0, true)
    );
    assert_eq!(
        (one.queue.as_str(), one.owner.as_str(), one.on_lost),
        ("g", "group", OnLost::Fail)
    );
    let two = &dag.tasks[1];
    assert_eq!((two.owner.as_str(), two.on_lost), ("data", OnLost::Retry));
    let Operator::Shell(shell) = &two.operator else {
        panic!("not a shell task")
    };
    assert_eq!(shell.body, ShellBody::Script("lib/two.sh".to_string()));
    assert_eq!(
        shell.interpreter.as_deref(),
        Some(["sh".to_string(), "-c".to_string()].as_slice())
    );
}

#[test]
fn a_group_stands_for_its_last_tasks_and_its_own_waits_are_for_its_first() {
    let dag = dag("
[groups.outer]
depends_on = ['start']
[groups.inner]
group = 'outer'
depends_on = ['a']
[tasks]
start = 'true'
[tasks.a]
group = 'outer'
shell = 'true'
[tasks.b]
group = 'inner'
shell = 'true'
[tasks.c]
group = 'inner'
depends_on = { task = 'b', label = 'then' }
shell = 'true'
[tasks.d]
group = 'outer'
shell = 'true'
[tasks.end]
depends_on = 'outer'
operator = 'empty'
");
    assert_eq!(upstream(&dag, "a"), ["start"]);
    assert_eq!(upstream(&dag, "b"), ["a"]);
    assert_eq!(upstream(&dag, "c"), ["b"]);
    assert_eq!(upstream(&dag, "d"), ["start"]);
    assert_eq!(upstream(&dag, "end"), ["c", "d"]);
    assert_eq!(dag.groups[1].parent, Some(0));
    assert_eq!(dag.tasks[2].group, Some(1));
}

#[test]
fn schedules_come_short_and_long() {
    let schedule = |line: &str| dag(&format!("[dag]\n{line}\n[tasks]\nt = 'true'"));
    let daily = schedule("schedule = '@daily'\ntimezone = 'Europe/Paris'");
    assert_eq!(
        (daily.schedule_text.as_str(), daily.timezone.as_str()),
        ("@daily", "Europe/Paris")
    );
    assert_eq!(daily.schedule.next_after(Ts(0)), Some(Ts(82_800_000_000)));
    let every = schedule("schedule = '@every 1h30m'\nstart_date = 1970-01-01T00:10:00Z");
    assert_eq!(every.schedule.next_after(Ts(0)), Some(Ts(600_000_000)));
    let several = schedule("schedule = ['0 9 * * 1-5', '0 12 * * 6']");
    assert_eq!(several.schedule_text, "0 9 * * 1-5; 0 12 * * 6");
    let long = schedule("schedule = { every = '5m', interval = 'tick' }");
    assert!(matches!(long.schedule.ticks, Ticks::Every { .. }));
    let zoned = schedule("schedule = { cron = '0 0 * * *', timezone = 'Asia/Tokyo' }");
    assert_eq!(zoned.schedule.next_after(Ts(0)), Some(Ts(54_000_000_000)));
    assert!(matches!(
        schedule("schedule = '@once'\nstart_date = 2026-01-01")
            .schedule
            .ticks,
        Ticks::Once(Some(_))
    ));
    let continuous = schedule("schedule = '@continuous'");
    assert!(matches!(continuous.schedule.ticks, Ticks::Continuous));
    assert_eq!(continuous.max_active_runs, 1);
}

#[test]
fn a_schedule_says_what_a_run_is_about_and_when_the_first_one_is() {
    let schedule = |line: &str| {
        dag(&format!(
            "[dag]\nschedule = {{ {line} }}\n[tasks]\nt = 'true'"
        ))
        .schedule
    };
    let hour = std::time::Duration::from_secs(3_600);
    let intervals = [
        ("tick", Interval::Tick),
        ("previous", Interval::Previous),
        ("period", Interval::Period),
        ("1h", Interval::Fixed(hour)),
    ];
    for (written, interval) in intervals {
        let found = schedule(&format!("cron = '@daily', interval = '{written}'"));
        assert_eq!(found.interval, interval);
    }
    let firsts = [
        ("", First::Recent),
        (", run_immediately = true", First::Previous),
        (", run_immediately = false", First::Next),
        (", run_immediately = '1h'", First::Within(hour)),
    ];
    for (written, first) in firsts {
        assert_eq!(schedule(&format!("cron = '@daily'{written}")).first, first);
    }
    assert_eq!(schedule("every = '5m', jitter = '1h'").jitter, hour);
    let at = schedule(
        "at = [2026-06-01T06:00:00Z, 2026-03-01, 2026-06-01T06:00:00Z], timezone = 'Asia/Tokyo'",
    );
    let Ticks::At(instants) = at.ticks else {
        panic!("explicit instants");
    };
    let texts: Vec<String> = instants.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["2026-02-28T15:00:00Z", "2026-06-01T06:00:00Z"]);
}

#[test]
fn reads_list_the_tasks_that_templates_name() {
    let dag = dag("
[params.region]
default = 'eu'
[tasks.a]
shell = 'echo 1'
outputs = { rows = '{{ stdout | int }}' }
[tasks.b]
depends_on = 'a'
shell = 'echo \"k=v\" >> \"$TIDEMILL_OUTPUT\"'
[tasks.c]
depends_on = 'b'
env = { A = '{{ tasks.a.outputs.rows }}', B = \"{{ ti.xcom_pull(task_ids='b', key='k') }}\" }
run_if = '{{ tasks.a.output | int > 0 }}'
shell = 'echo {{ params.region | quote }}'
");
    let reads: Vec<u32> = dag.tasks[2].reads.iter().map(|task| task.0).collect();
    assert_eq!(reads, [0, 1]);
}

#[test]
fn the_hash_does_not_depend_on_comments_and_order_but_on_what_is_said() {
    let hash = |source: &str| good(source).hash;
    let one = hash("[dag]\nowner = 'a'\nid = 'x'\n[tasks.t]\nshell = 'true'\nretries = 1\n");
    let same = hash(
        "# a comment\ntasks = { t = { retries = 0x1, shell = \"true\" } }\n[dag]\nid = 'x'\nowner='a'",
    );
    let other = hash("[dag]\nowner = 'a'\nid = 'x'\n[tasks.t]\nshell = 'true'\nretries = 2\n");
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_eq!(one.len(), 64);
}

#[test]
fn scripts_are_listed_once() {
    let loaded =
        good("[tasks.a]\nshell = { script = 'x.sh' }\n[tasks.b]\nshell = { script = './x.sh' }\n");
    assert_eq!(loaded.files, ["x.sh"]);
}

#[test]
fn params_become_schemas() {
    let dag = dag(
        "[params]\nregion = 'eu'\nn = 3\n[params.day]\ntype = ['string', 'null']\nformat = 'date'\n[tasks]\nt = 'true'",
    );
    let [region, n, day] = dag.params.as_slice() else {
        panic!("three parameters")
    };
    assert_eq!(
        (region.schema["type"].as_str(), n.schema["type"].as_str()),
        (Some("string"), Some("integer"))
    );
    assert_eq!(
        (day.default.is_null(), day.schema["format"].as_str()),
        (true, Some("date"))
    );
}

#[test]
fn a_long_chain_and_a_wide_fan_load() {
    let mut chain = String::from("[tasks.t0]\nshell = 'true'\n");
    for at in 1..100_000 {
        let before = at - 1;
        chain.push_str(&format!(
            "[tasks.t{at}]\ndepends_on = ['t{before}']\nenv = {{ A = '{{{{ tasks.t{before}.output }}}}' }}\nshell = 'true'\n"
        ));
    }
    let loaded = load(chain.as_bytes(), "chain");
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.dag.unwrap().tasks.len(), 100_000);

    let mut fan =
        String::from("[groups.wide]\ndepends_on = ['start']\n[tasks.start]\nshell = 'true'\n");
    for at in 0..10_000 {
        fan.push_str(&format!("[tasks.w{at}]\ngroup = 'wide'\nshell = 'true'\n"));
    }
    fan.push_str("[tasks.end]\ndepends_on = ['wide']\noperator = 'empty'\n");
    let dag = load(fan.as_bytes(), "fan").dag.unwrap();
    assert_eq!(dag.graph.edges().count(), 20_000);
}

#[test]
fn every_trigger_rule_of_the_model_is_a_word_of_the_format() {
    for &rule in TriggerRule::ALL {
        let source = format!("[tasks.t]\nshell = 'true'\ntrigger_rule = '{rule}'");
        assert_eq!(dag(&source).tasks[0].trigger_rule, rule);
    }
    let by_default = dag("[default_args]\ntrigger_rule = 'all_done'\n[tasks.t]\nshell = 'true'\n");
    assert_eq!(by_default.tasks[0].trigger_rule, TriggerRule::AllDone);
}

#[test]
fn a_teardown_waits_for_its_setups_and_a_group_ends_before_it() {
    let dag = dag("
[groups.g]
[tasks.up]
setup = true
group = 'g'
shell = 'true'
[tasks.work]
depends_on = ['up']
group = 'g'
shell = 'true'
[tasks.down]
teardown = true
setups = 'up'
depends_on = ['work']
group = 'g'
on_failure_fail_dagrun = true
shell = 'true'
[tasks.after]
depends_on = ['g']
shell = 'true'
");
    assert_eq!(upstream(&dag, "down"), ["up", "work"]);
    assert_eq!(upstream(&dag, "after"), ["work"]);
    let down = &dag.tasks[2];
    assert_eq!(down.role, Role::Teardown { fails_run: true });
    assert_eq!(down.trigger_rule, TriggerRule::AllDoneSetupSuccess);
}

#[test]
fn branches_and_gates_are_read_in_their_short_and_long_forms() {
    let dag = dag("
[groups.night]
[tasks]
a = { depends_on = ['short', 'long', 'gate'], shell = 'true' }
b = { depends_on = ['long'], group = 'night', shell = 'true' }
short = { branch = \"{{ 'a' }}\" }
gate = { short_circuit = '{{ true }}' }
latest = { operator = 'latest_only' }
[tasks.long.branch]
look_at = 'logical_date'
cases = [
    { days = ['mon', 'sun'], then = ['a', 'night'] },
    { between = ['22:00', '06:30:15'], then = 'b' },
    { if = '{{ false }}' },
    { else = true, then = 'a' },
]
");
    let operator = |name: &str| &dag.task(dag.index_of(name).unwrap()).operator;
    let Operator::Branch(Branch::Names(text)) = operator("short") else {
        panic!("not a branch")
    };
    assert_eq!(text, "{{ 'a' }}");
    let gate = Gate {
        condition: "{{ true }}".to_string(),
        ignores_rules: true,
    };
    assert_eq!(operator("gate"), &Operator::ShortCircuit(gate));
    assert_eq!(operator("latest"), &Operator::LatestOnly);
    let case = |when: When, then: &[&str]| Case {
        when,
        then: then.iter().map(|name| name.to_string()).collect(),
    };
    let cases = vec![
        case(When::Days(vec![1, 0]), &["a", "night"]),
        case(When::Between(22 * 3600, 6 * 3600 + 30 * 60 + 15), &["b"]),
        case(When::If("{{ false }}".to_string()), &[]),
        case(When::Else, &["a"]),
    ];
    let look_at = BranchClock::LogicalDate;
    assert_eq!(
        operator("long"),
        &Operator::Branch(Branch::Cases { cases, look_at })
    );
}

#[test]
fn settings_of_operators_in_the_worker_stand_over_the_defaults() {
    let dag = dag("
[default_args.http]
timeout = '5s'
headers = { A = 'x', B = 'y' }
[tasks.short]
http = 'http://example/{{ ds }}'
[tasks.long]
outputs = { n = '{{ response.json.n }}' }
[tasks.long.http]
url = 'http://example'
timeout = '1m'
headers = { B = 'z' }
response_check = '{{ response.status == 200 }}'
");
    let settings = |at: usize| match &dag.tasks[at].operator {
        Operator::InProcess(work) => serde_json::to_value(&work.settings).unwrap(),
        other => panic!("{other:?}"),
    };
    let short = serde_json::json!({
        "url": "http://example/{{ ds }}", "timeout": 5_000, "headers": { "A": "x", "B": "y" },
    });
    assert_eq!(settings(0), short);
    let long = serde_json::json!({
        "url": "http://example", "timeout": 60_000, "headers": { "B": "z", "A": "x" },
        "response_check": "{{ response.status == 200 }}",
    });
    assert_eq!(settings(1), long);
    assert_eq!(dag.tasks[1].operator.name(), "http");
}

#[test]
fn what_a_task_uses_of_the_outside_is_gathered() {
    let dag = dag("
[default_args]
env = { HOST = '{{ conn.dw.host }}' }
[tasks.a]
secrets = { P = 'conn.dw.password', K = { from = 'var.key', as = 'file' } }
shell = \"echo {{ var.value.region }} {{ var.json.limits.n }} {{ var.value.get('maybe', '') }}\"
[tasks.b]
env = { HOST = '' }
shell = 'true'
");
    let uses = &dag.tasks[0].uses;
    assert_eq!(uses.connections, ["dw"]);
    assert_eq!(uses.variables, ["region", "limits", "key"]);
    assert_eq!(uses.optional_variables, ["maybe"]);
    assert!(dag.tasks[1].uses.is_empty());
}

#[test]
fn a_task_may_look_back() {
    let past = |keys: &str| {
        let dag = dag(&format!("[tasks.t]\nshell = 'true'\n{keys}\n"));
        let past = dag.tasks[0].past;
        past.map(|past| (past.with_downstream, past.passes_when_new))
    };
    assert_eq!(past(""), None);
    assert_eq!(past("depends_on_past = true"), Some((false, true)));
    assert_eq!(past("wait_for_downstream = true"), Some((true, true)));
    let strict = "depends_on_past = true\nignore_first_depends_on_past = false";
    assert_eq!(past(strict), Some((false, false)));
}
