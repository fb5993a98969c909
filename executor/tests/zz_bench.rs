#![allow(clippy::unwrap_used, missing_docs)]
mod common;
use common::{Place, shell_with};
#[test]
fn bench() {
    let mut place = Place::new();
    let n = 1000;
    for interp in ["sh", "bash"] {
        let t = std::time::Instant::now();
        for _ in 0..n {
            let a = place.launch(shell_with("true", |s| {
                s.interpreter = Some(vec![interp.to_string(), "-c".to_string()])
            }));
            place.outcome(a);
        }
        println!("chain {interp}: {:?} per task", t.elapsed() / n);
        let t = std::time::Instant::now();
        let (mut live, mut started, mut done) = (0, 0, 0);
        while done < n {
            while live < 16 && started < n {
                place.launch(shell_with("true", |s| {
                    s.interpreter = Some(vec![interp.to_string(), "-c".to_string()])
                }));
                live += 1;
                started += 1;
            }
            common::wait_for_news(&place.worker, std::time::Duration::from_secs(5));
            let e = place.worker.ended().len() as u32;
            live -= e;
            done += e;
        }
        println!("fan16 {interp}: {:?} per task", t.elapsed() / n);
        let t = std::time::Instant::now();
        for _ in 0..n {
            std::process::Command::new(interp)
                .args(["-c", "true"])
                .status()
                .unwrap();
        }
        println!("plain {interp}: {:?} per task", t.elapsed() / n);
    }
}
