//! What a task's success says about the assets that it writes, and which events a schedule needs.

use crate::support::{Fate, Player, Sketch};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_model::dag::AssetCondition;
use tidemill_model::{Json, Outcome, TaskIndex, TaskState};
use tidemill_scheduler::{Effect, Event};

const FIRST: TaskIndex = TaskIndex(0);

fn writer() -> Player {
    let mut sketch = Sketch::default();
    sketch.add("a", &[]).outlets = vec!["orders".to_string(), "rates".to_string()];
    let mut player = Player::new(Arc::new(sketch.build()), 1, &[]);
    player.step(Event::Begin);
    player
}

fn emitted(effects: &[Effect]) -> Vec<(&str, &Json)> {
    let emitted = effects.iter().filter_map(|effect| match effect {
        Effect::Emit(_, asset, extra) => Some((asset.as_str(), extra)),
        _ => None,
    });
    emitted.collect()
}

fn report(player: &mut Player, outcome: Outcome) -> Vec<Effect> {
    player.start(FIRST);
    let (_, attempt) = player.live.remove(0);
    player.report(attempt, outcome)
}

#[test]
fn a_success_is_one_event_of_each_asset_with_what_is_said_about_it() {
    let mut player = writer();
    let values = [
        ("@orders.rows", Json::from(3)),
        ("@orders.day", Json::from("today")),
        ("n", Json::from(1)),
    ];
    let outcome = Outcome {
        values: values.map(|(key, value)| (key.to_string(), value)).to_vec(),
        ..Outcome::success()
    };
    let effects = report(&mut player, outcome);
    let about_orders = serde_json::json!({"rows": 3, "day": "today"});
    let nothing = serde_json::json!({});
    assert_eq!(
        emitted(&effects),
        [("orders", &about_orders), ("rates", &nothing)]
    );
    let kept: Vec<&Effect> = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::KeepValue(..)))
        .collect();
    assert_eq!(
        kept,
        [&Effect::KeepValue(FIRST, "n".to_string(), Json::from(1))]
    );
}

#[test]
fn nothing_but_an_attempt_that_ended_well_is_an_event() {
    for fate in [Fate::Fail, Fate::Skip] {
        let effects = report(&mut writer(), fate.outcome());
        assert!(emitted(&effects).is_empty(), "{fate:?}");
    }
    let mut marked = writer();
    let effects = marked.step(Event::Mark(vec![FIRST], TaskState::Success));
    assert!(emitted(&effects).is_empty());
    let mut stale = writer();
    stale.start(FIRST);
    let (_, attempt) = stale.live.remove(0);
    assert!(!emitted(&stale.report(attempt, Outcome::success())).is_empty());
    let again = stale.report(attempt, Outcome::success());
    assert!(
        emitted(&again).is_empty(),
        "a report that comes twice counts once"
    );
}

#[test]
fn a_condition_is_met_as_its_words_say() {
    use AssetCondition::{All, Any, Asset};
    let asset = |name: &str| Asset(name.to_string());
    let nested = All(vec![asset("a"), Any(vec![asset("b"), asset("c")])]);
    let table = [
        (asset("a"), vec!["a"], true),
        (asset("a"), vec!["b"], false),
        (All(vec![asset("a"), asset("b")]), vec!["a"], false),
        (All(vec![asset("a"), asset("b")]), vec!["a", "b"], true),
        (Any(vec![asset("a"), asset("b")]), vec!["b"], true),
        (Any(vec![asset("a"), asset("b")]), vec!["c"], false),
        (nested.clone(), vec!["a"], false),
        (nested.clone(), vec!["b", "c"], false),
        (nested.clone(), vec!["a", "c"], true),
    ];
    for (condition, events, is_met) in table {
        let events: BTreeSet<&str> = events.into_iter().collect();
        let has_event = |name: &str| events.contains(name);
        assert_eq!(
            condition.is_met(&has_event),
            is_met,
            "{condition}: {events:?}"
        );
    }
    assert_eq!(nested.to_string(), "a and (b or c)");
    assert_eq!(nested.names(), BTreeSet::from(["a", "b", "c"]));
}
