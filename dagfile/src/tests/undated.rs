//! Dates that some runs are without.

use super::{found, good};

const BY_ASSETS: &str = "[dag]\nschedule = { assets = ['a'] }\n[assets.a]\n";

/// A DAG with this header, in which a task renders this text.
fn rendering(header: &str, text: &str) -> String {
    format!("{header}[tasks.t]\nshell = 'true'\nenv = {{ A = \"{text}\" }}\n")
}

#[test]
fn a_date_that_every_run_has_or_that_the_template_asks_for_is_no_matter() {
    let every_run = [
        "",
        "[dag]\nschedule = '@daily'\n",
        "[dag]\nallowed_run_types = ['manual']\nschedule = { assets = ['a'] }\n[assets.a]\n",
    ];
    for header in every_run {
        good(&rendering(header, "{{ ds }} {{ data_interval_end }}"));
    }
    let asks = [
        "{{ ds | default('none') }}",
        "{% if ds is defined %}{{ ds }}{% endif %}",
        "{{ ds if triggering_asset_events.a else run_id }}",
        "{% set ds = 'mine' %}{{ ds }}",
        "{{ run_id }} {{ task_instance_key_str }} {{ dag_run.logical_date }}",
    ];
    for text in asks {
        good(&rendering(BY_ASSETS, text));
    }
}

#[test]
fn a_name_is_told_once_for_a_template() {
    let text = rendering(BY_ASSETS, "{{ ds }} {{ ds }} {{ data_interval_start }}");
    assert_eq!(found(&text), ["TM0314 6:17", "TM0314 6:35"]);
}
