//! `import crontab`: lines become DAG files, and both ways to read its times are shown.

mod fields;
mod random;
mod read;
mod write;

use super::print::{Printer, json, line};
use crate::args::ImportCrontab;
use crate::daemon::clock;
use crate::exit::{Exit, Failure};
use jiff::tz::TimeZone;
use read::{Entry, Refused};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::next_tick;
use write::Written;

/// The largest crontab that is read.
const BYTES_MAX: u64 = 4 << 20;

/// A line, or several with the same times, with its DAG and the times of both.
struct Converted {
    entries: Vec<Entry>,
    written: Written,
    crontab: Vec<Ts>,
    tidemill: Vec<Ts>,
    zone: TimeZone,
}

impl Converted {
    /// Its lines, from 1.
    fn lines(&self) -> Vec<usize> {
        self.entries.iter().map(|entry| entry.line).collect()
    }
}

/// Converts a crontab.
///
/// # Errors
/// When it cannot be read, or a file stands where one is to be written.
pub fn import(printer: &Printer, options: ImportCrontab) -> Result<Exit, Failure> {
    let text = match (&options.file, &options.user) {
        (Some(file), _) => text_of(file)?,
        (None, user) => text_of_user(user.as_deref().unwrap_or_default())?,
    };
    let crontab = read::read(&text, options.system);
    let after = match &options.after {
        Some(instant) => super::values::instant(instant, &TimeZone::UTC)?,
        None => clock::now(),
    };
    let default_zone = default_zone(options.timezone.as_deref())?;
    let mut refused = crontab.refused;
    let mut converted = Vec::new();
    let mut taken = BTreeSet::new();
    for entries in together(crontab.entries, options.group) {
        match convert(
            entries,
            &default_zone,
            &mut taken,
            after,
            options.limit as usize,
        ) {
            Ok(one) => converted.push(one),
            Err(some) => refused.extend(some),
        }
    }
    refused.sort_by_key(|one| one.line);
    if let Some(folder) = &options.out {
        write_files(folder, &converted)?;
    }
    if printer.is_json() {
        json(&report(&converted, &refused));
    } else {
        show(&converted, options.out.as_deref());
    }
    for one in &refused {
        eprintln!(
            "line {} is not converted: {}\n    {}",
            one.line, one.why, one.text
        );
    }
    eprintln!(
        "{} lines converted, {} not{}",
        converted.iter().map(|one| one.entries.len()).sum::<usize>(),
        refused.len(),
        if options.out.is_none() && !options.check {
            "; nothing is written without --out DIR"
        } else {
            ""
        }
    );
    let differs = converted.iter().any(|one| one.crontab != one.tidemill);
    if options.check && differs {
        eprintln!("some times are not the same: see above");
    }
    let is_wrong = refused.iter().any(|one| one.is_mistake) || options.check && differs;
    Ok(if is_wrong { Exit::Invalid } else { Exit::Ok })
}

/// The crontab of a user, by the program that may read it.
fn text_of_user(user: &str) -> Result<String, Failure> {
    let unreadable = |why: String| {
        Failure::new(
            Exit::Error,
            format!("cannot read the crontab of {user}: {why}"),
        )
        .hint("give its file, or pipe it in: crontab -l | tidemill import crontab -")
    };
    let mut command = std::process::Command::new("crontab");
    let listed = command.args(["-l", "-u", user]).output();
    let listed = listed.map_err(|err| unreadable(format!("the program `crontab`: {err}")))?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(unreadable(said.trim().to_string()));
    }
    if listed.stdout.len() as u64 > BYTES_MAX {
        return Err(unreadable("it is too large".to_string()));
    }
    String::from_utf8(listed.stdout).map_err(|_| unreadable("it is not UTF-8".to_string()))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|err| {
        let exit = match err.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Error,
        };
        Failure::new(exit, format!("cannot read {}: {err}", file.display()))
    })?;
    if bytes.len() as u64 > BYTES_MAX {
        let message = format!("{} is too large for a crontab", file.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("{} is not UTF-8", file.display());
        Failure::new(Exit::Usage, message)
    })
}

/// The zone of lines without CRON_TZ: as asked for, or the machine's, which is cron's.
fn default_zone(asked: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = asked {
        return TimeZone::get(name).map(|_| name.to_string()).map_err(|_| {
            Failure::new(Exit::Usage, format!("`{name}` is not a time zone"))
                .hint("write an IANA name such as Europe/Paris")
        });
    }
    let system = TimeZone::try_system().ok();
    let name = system.as_ref().and_then(|zone| zone.iana_name());
    Ok(name.unwrap_or("UTC").to_string())
}

/// Each line alone, or those together that have the same times.
fn together(entries: Vec<Entry>, groups: bool) -> Vec<Vec<Entry>> {
    let times = |entry: &Entry| {
        let zone = entry.setting("CRON_TZ").map(str::to_string);
        let delay = entry.setting("RANDOM_DELAY").map(str::to_string);
        (entry.fields.expression(), zone, delay, entry.is_single)
    };
    let mut all: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        let same = |some: &&mut Vec<Entry>| groups && times(&some[0]) == times(&entry);
        match all.iter_mut().find(same) {
            Some(some) => some.push(entry),
            None => all.push(vec![entry]),
        }
    }
    all
}

fn convert(
    entries: Vec<Entry>,
    default_zone: &str,
    taken: &mut BTreeSet<String>,
    after: Ts,
    limit: usize,
) -> Result<Converted, Vec<Refused>> {
    let refuse = |why: String| {
        let refused = entries.iter().map(|entry| Refused {
            line: entry.line,
            text: entry.text.clone(),
            why: why.clone(),
            is_mistake: true,
        });
        refused.collect::<Vec<_>>()
    };
    let entry = &entries[0];
    let name = entry.setting("CRON_TZ").unwrap_or(default_zone).to_string();
    let Ok(zone) = TimeZone::get(&name) else {
        return Err(refuse(format!("CRON_TZ={name} is not a time zone")));
    };
    let mut written = write::write(&entries, &name, taken).map_err(refuse)?;
    let loaded = tidemill_dagfile::load(written.toml.as_bytes(), &written.dag_id);
    let Some(dag) = loaded.dag else {
        let first = loaded.diagnostics.first();
        return Err(refuse(
            first.map_or(String::new(), |one| one.message.clone()),
        ));
    };
    let crontab = entry.fields.fires_after(after.to_jiff(), &zone, limit);
    let crontab: Vec<Ts> = crontab.into_iter().map(Ts::from_jiff).collect();
    let tidemill = ticks(&dag, after, limit);
    if crontab != tidemill {
        written
            .notes
            .push("the times differ from crontab(5): look at them before you switch".to_string());
    }
    Ok(Converted {
        entries,
        written,
        crontab,
        tidemill,
        zone,
    })
}

fn ticks(dag: &Dag, after: Ts, limit: usize) -> Vec<Ts> {
    let next = |at: &Ts| next_tick(dag, *at).map(|tick| tick.at);
    std::iter::successors(next(&after), next)
        .take(limit)
        .collect()
}

fn write_files(folder: &Path, converted: &[Converted]) -> Result<(), Failure> {
    let path = |one: &Converted| folder.join(format!("{}.toml", one.written.dag_id));
    let there: Vec<String> = converted
        .iter()
        .map(path)
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        let message = format!("{} is there already; nothing is written", there.join(", "));
        return Err(Failure::new(Exit::Conflict, message).hint("name another folder with --out"));
    }
    let failed = |err: std::io::Error| {
        let message = format!("cannot write into {}: {err}", folder.display());
        Failure::new(Exit::Error, message)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for one in converted {
        // A file that has come in the meantime is not overwritten either.
        let file = std::fs::File::create_new(path(one)).map_err(failed)?;
        (&file)
            .write_all(one.written.toml.as_bytes())
            .map_err(failed)?;
    }
    Ok(())
}

fn report(converted: &[Converted], refused: &[Refused]) -> Value {
    let dags: Vec<Value> = converted
        .iter()
        .map(|one| {
            json!({
                "line": one.entries[0].line, "text": one.entries[0].text,
                "lines": one.lines(), "dag_id": one.written.dag_id,
                "toml": one.written.toml, "notes": one.written.notes,
                "crontab": one.crontab, "tidemill": one.tidemill,
                "is_same": one.crontab == one.tidemill,
            })
        })
        .collect();
    let refused: Vec<Value> = refused
        .iter()
        .map(|one| json!({ "line": one.line, "text": one.text, "why": one.why }))
        .collect();
    json!({ "dags": dags, "refused": refused })
}

fn show(converted: &[Converted], out: Option<&Path>) {
    for one in converted {
        let file = format!("{}.toml", one.written.dag_id);
        let file = out.map_or(file.clone(), |out| out.join(&file).display().to_string());
        let lines: Vec<String> = one.lines().iter().map(usize::to_string).collect();
        line(&format!("line {} -> {file}", lines.join(", ")));
        if out.is_none() {
            let toml = one.written.toml.lines();
            toml.for_each(|text| line(format!("    {text}").trim_end()));
        }
        for note in &one.written.notes {
            line(&format!("  note: {note}"));
        }
        line(&format!("  {:<28}tidemill", "crontab(5)"));
        let n_rows = one.crontab.len().max(one.tidemill.len());
        for at in 0..n_rows {
            let [theirs, ours] = [&one.crontab, &one.tidemill].map(|fires| fires.get(at).copied());
            let mark = if theirs == ours { "" } else { "differs" };
            line(
                format!(
                    "  {:<28}{:<28}{mark}",
                    local(theirs, &one.zone),
                    local(ours, &one.zone)
                )
                .trim_end(),
            );
        }
        line("");
    }
}

fn local(at: Option<Ts>, zone: &TimeZone) -> String {
    at.map_or("-".to_string(), |at| {
        let zoned = at.to_jiff().to_zoned(zone.clone());
        zoned.strftime("%a %Y-%m-%d %H:%M%:z").to_string()
    })
}
