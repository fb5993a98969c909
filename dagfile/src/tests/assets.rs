//! What `[assets]`, `inlets`, `outlets` and asset schedules become, and what is refused.

use super::{found, good};
use tidemill_model::Dag;
use tidemill_model::dag::AssetCondition;

fn dag(source: &str) -> Dag {
    good(source).dag.unwrap()
}

fn condition(written: &str) -> String {
    let declared = "[assets.a]\n[assets.b]\n[assets.c]\n";
    let dag = dag(&format!(
        "[dag]\nschedule = {{ assets = {written} }}\n{declared}[tasks]\nt = 'true'\n"
    ));
    dag.asset_schedule.unwrap().to_string()
}

#[test]
fn assets_are_declared_named_and_said_things_about() {
    let dag = dag(
        "[assets.orders]\nuri = 'postgres://warehouse/orders'\ngroup = 'lake'\ndescription = 'One row each'\nextra = { table = 'orders' }\n[assets.rates]\n[tasks.t]\nshell = 'true'\ninlets = 'rates'\noutlets = ['rates', { asset = 'orders', extra = { rows = '{{ result }}' } }]\n",
    );
    let orders = &dag.assets[0];
    assert_eq!(
        (orders.name.as_str(), orders.group.as_str()),
        ("orders", "lake")
    );
    assert_eq!(orders.extra["table"], "orders");
    assert_eq!(
        (dag.assets[1].uri.as_str(), dag.assets[1].group.as_str()),
        ("rates", "asset")
    );
    let task = &dag.tasks[0];
    assert_eq!(task.inlets, ["rates"]);
    assert_eq!(task.outlets, ["rates", "orders"]);
    assert_eq!(
        task.outputs,
        [("@orders.rows".to_string(), "{{ result }}".to_string())]
    );
}

#[test]
fn a_schedule_names_assets_joined_by_all_and_any() {
    assert_eq!(condition("'a'"), "a");
    assert_eq!(condition("['a', 'b']"), "a and b");
    assert_eq!(condition("{ any = ['a', 'b'] }"), "a or b");
    assert_eq!(
        condition("{ all = ['a', { any = ['b', 'c'] }] }"),
        "a and (b or c)"
    );
    let both = dag(
        "[dag]\nschedule = { cron = '0 6 * * *', assets = 'a' }\n[assets.a]\n[tasks]\nt = 'true'\n",
    );
    assert!(!both.schedule.is_manual());
    assert_eq!(
        both.asset_schedule,
        Some(AssetCondition::Asset("a".to_string()))
    );
    assert_eq!(both.schedule_text, "0 6 * * *; or assets: a");
}

#[test]
fn mistakes_about_assets_are_told() {
    const T: &str = "[tasks]\nt = 'true'\n";
    for (source, expected) in [
        (format!("[assets.o]\nuri = 'postgres://me:secret@host/db'\n{T}"), "TM0152 2:7"),
        (format!("[assets]\no = 's3://x'\n{T}"), "TM0101 2:5"),
        (format!("[assets.o]\nurl = 's3://x'\n{T}"), "TM0104 2:1"),
        (format!("[dag]\nschedule = {{ assets = [] }}\n{T}"), "TM0131 2:23"),
        (format!("[dag]\nschedule = {{ assets = {{ both = ['a'] }} }}\n{T}"), "TM0101 2:23"),
        ("[tasks.t]\nshell = 'true'\noutlets = [{ extra = { a = 'b' } }]\n".to_string(), "TM0102 3:12"),
        ("[assets.orders]\n[tasks.t]\nshell = 'true'\noutlets = ['ordres']\n".to_string(), "TM0313 4:12"),
        ("[assets.o]\n[tasks.t]\nshell = 'true'\noutlets = [{ asset = 'o', extra = { a = '{{ nothing }}' } }]\n".to_string(), "TM0202 4:45"),
    ] {
        assert_eq!(found(&source), [expected], "{source}");
    }
}
