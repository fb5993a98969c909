//! Logs of tasks, on the terminal.

use super::client::{Client, RunRef, escape};
use super::instance::Instance;
use super::print::{line, text};
use super::tasks::instances;
use crate::exit::{Exit, Failure};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use tidemill_log::inert;

/// A follower looks for more output so often.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// A log that somebody wants to see.
pub struct Wanted<'a> {
    /// Its run.
    pub run: &'a RunRef,
    /// Its task, or the instance of a mapped one.
    pub task: Instance<'a>,
    /// Its try; the last when `None`.
    pub try_number: Option<i32>,
    /// As the task wrote it, terminal escapes and all?
    pub is_raw: bool,
}

impl Wanted<'_> {
    fn path(&self, rest: &str) -> String {
        self.task.path(self.run, rest)
    }

    fn shown(&self, entry: &Value) -> String {
        let event = entry.as_str().unwrap_or_else(|| text(entry, "event"));
        match self.is_raw {
            true => event.to_string(),
            false => inert(event),
        }
    }
}

/// Prints a log, and follows it until its task has ended where that is wanted.
pub async fn print(client: &Client, wanted: &Wanted<'_>, follow: bool) -> Result<Exit, Failure> {
    let mut at = Place::default();
    loop {
        let instance = client.get(&wanted.path("")).await?;
        let state = instance["state"].as_str().unwrap_or("none");
        let is_over = matches!(
            state,
            "success" | "failed" | "skipped" | "upstream_failed" | "removed"
        );
        let last = instance["try_number"].as_i64().unwrap_or(0);
        let number = wanted.try_number.map_or(last, i64::from);
        if number > 0 {
            at.of_try(number);
            let show = |entry: &Value| line(&wanted.shown(entry));
            pieces(client, wanted, number, &mut at, show).await?;
        }
        if !follow || is_over {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How much of a log has been seen.
#[derive(Default)]
struct Place {
    number: i64,
    token: Option<String>,
}

impl Place {
    /// Another try begins at its beginning.
    fn of_try(&mut self, number: i64) {
        if self.number != number {
            *self = Place {
                number,
                token: None,
            };
        }
    }
}

/// Goes on with a log, piece by piece, up to its present end.
async fn pieces(
    client: &Client,
    wanted: &Wanted<'_>,
    number: i64,
    at: &mut Place,
    mut each: impl FnMut(&Value),
) -> Result<(), Failure> {
    loop {
        let token = at.token.as_deref();
        let asked = token.map_or(String::new(), |token| format!("?token={token}"));
        let path = wanted.path(&format!("/logs/{number}{asked}"));
        let log = client.get(&path).await?;
        let entries = log["content"].as_array();
        entries.into_iter().flatten().for_each(&mut each);
        let next = log["continuation_token"].as_str().map(str::to_string);
        if next.is_none() || next == at.token {
            return Ok(());
        }
        at.token = next;
    }
}

/// Prints the lines that match; the server looks for them.
pub async fn grep(client: &Client, wanted: &Wanted<'_>, pattern: &str) -> Result<Exit, Failure> {
    let number = wanted.try_number.unwrap_or(0);
    let (mut from, mut any) = (0, false);
    loop {
        let asked = format!("?re=true&from={from}&q={}", escape(pattern));
        let path = wanted.path(&format!("/logs/{number}/search{asked}"));
        let path = path.replacen("/api/v2/", "/api/tidemill/v1/", 1);
        let found = client.get(&path).await?;
        let matches = found["matches"].as_array();
        for entry in matches.into_iter().flatten() {
            any = true;
            line(&wanted.shown(entry));
        }
        let next = found["next"].as_u64().unwrap_or(0);
        if found["done"].as_bool() != Some(false) || next <= from {
            // As grep(1) does it.
            return Ok(if any { Exit::Ok } else { Exit::Error });
        }
        from = next;
    }
}

/// Prints the logs of all tasks of a run, each line behind its task's name.
pub async fn of_run(client: &Client, run: &RunRef, tail: Option<usize>) -> Result<Exit, Failure> {
    for task in instances(client, run).await? {
        let name = Instance::of(&task);
        let wanted = Wanted {
            run,
            task: name,
            try_number: None,
            is_raw: false,
        };
        for number in 1..=task["try_number"].as_i64().unwrap_or(0) {
            let mut last = VecDeque::new();
            pieces(client, &wanted, number, &mut Place::default(), |entry| {
                let shown = format!("{name} | {}", wanted.shown(entry));
                match tail {
                    None => line(&shown),
                    Some(n) => {
                        last.push_back(shown);
                        if last.len() > n {
                            last.pop_front();
                        }
                    }
                }
            })
            .await?;
            last.iter().for_each(|text| line(text));
        }
    }
    Ok(Exit::Ok)
}
