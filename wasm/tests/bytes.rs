//! Any bytes as a module: an answer in words, never a fall.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, bytes, c, component, rust};
use proptest::prelude::*;
use std::sync::OnceLock;
use tidemill_wasm::{Grants, Kind, inspect};

fn probe() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| std::fs::read(c("probe")).unwrap())
}

#[test]
fn a_module_says_what_it_is_needs_and_offers() {
    let found = inspect(probe()).unwrap();
    assert_eq!((found.kind, found.is_command), (Kind::Module, true));
    assert!(
        found
            .imports
            .contains(&"wasi_snapshot_preview1::path_open".to_string())
    );
    assert!(found.exports.contains(&"_start".to_string()) && found.memory > 0);
    assert!(found.unknown.is_empty());
    let keys: Vec<&str> = found.needs.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["args", "dirs", "env", "stdin"]);
    let rust = inspect(&std::fs::read(rust("lines")).unwrap()).unwrap();
    assert!(rust.is_command);
    let fetch = std::fs::read(component("fetch", Some("fetch.wit"))).unwrap();
    let fetch = inspect(&fetch).unwrap();
    assert_eq!((fetch.kind, fetch.is_command), (Kind::Component, true));
    assert!(
        fetch.needs.iter().any(|(key, _)| *key == "allow_hosts"),
        "{fetch:?}"
    );
    assert!(fetch.unknown.is_empty(), "{fetch:?}");
    let wat = "(module (import \"env\" \"f\" (func)) (func (export \"g\")))";
    let other = inspect(&wat::parse_str(wat).unwrap()).unwrap();
    assert_eq!(
        (other.unknown, other.is_command),
        (vec!["env::f".to_string()], false)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_inspector_fall(mut content in proptest::collection::vec(any::<u8>(), 0..400), layer in 0..2u8) {
        let mut module = vec![0, b'a', b's', b'm', if layer == 0 { 1 } else { 13 }, 0, layer, 0];
        let _ = inspect(&content);
        module.append(&mut content);
        let _ = inspect(&module);
    }

    #[test]
    fn no_change_to_a_module_makes_the_inspector_fall(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()
    ) {
        let mut module = probe().to_vec();
        for (at, byte) in changes {
            let at = at.index(module.len());
            module[at] = byte;
        }
        let _ = inspect(&module);
        module.truncate(cut.index(module.len()));
        let _ = inspect(&module);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// The whole way: compiled, loaded, linked and run with little fuel, or refused.
    #[test]
    fn a_changed_module_runs_or_is_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut module = probe().to_vec();
        for (at, byte) in changes {
            let at = at.index(module.len());
            module[at] = byte;
        }
        let path = bytes("changed", &module);
        let mut place = Place::new();
        place.limits.fuel = Some(1_000_000);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _ = runtime.block_on(place.run(&path, Grants::default()));
    }
}
