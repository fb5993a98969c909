//! `file_sensor`.

use super::{Fault, OperatorKeys, Settings, sensor_keys};
use crate::keys::{Key, Kind, key};

pub(crate) const FILE_SENSOR: OperatorKeys = OperatorKeys {
    name: "file_sensor",
    short: Some("path"),
    keys: KEYS,
    results: &[],
    only_looks: true,
    check,
};

#[rustfmt::skip]
const KEYS: &[Key] = sensor_keys![
    key("path", Kind::Template, "", "The file; its last part may hold `*` and `?`. A relative path is in the run's folder."),
    key("settle", Kind::Duration, "\"0s\"", "It must not have changed for so long."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let fault = Fault {
        key: None,
        message: "the file_sensor waits for no file".to_string(),
        help: "add `path`",
    };
    if settings.has("path") {
        Vec::new()
    } else {
        vec![fault]
    }
}
