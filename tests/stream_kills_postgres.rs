//! The kills of `stream_kills/` on PostgreSQL, and a scheduler that stands still beside another.

#[path = "stream_kills/main.rs"]
mod stream_kills;

use rustix::process::Signal;
use stream_kills::Siege;
use stream_kills::support::waiting::wait_for;
use stream_kills::support::{PATIENCE, Place, http};

#[test]
fn a_scheduler_that_was_frozen_past_its_lease_makes_no_run_twice() {
    let mut siege = Siege::new();
    let beside: Place = siege.place.beside();
    let mut leader = siege.place.serve();
    leader.wait_for_dag("ledger");
    let other = beside.start();
    siege.send(40);
    wait_for("the first runs", PATIENCE, || {
        (!leader.runs("ledger").is_empty()).then_some(())
    });
    // It holds records that it has read, and wakes up when its term is another's.
    leader.signal(Signal::STOP);
    siege.send(40);
    wait_for("the stand-by to lead", PATIENCE, || {
        let asked = http::ask(&other.socket, "GET", "/readyz", None);
        asked.is_ok_and(|(status, _)| status == 200).then_some(())
    });
    siege.send(40);
    leader.signal(Signal::CONT);
    siege.send(40);
    leader.wait_until_gone();
    siege.end_with(other);
}
