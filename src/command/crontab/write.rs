//! Lines of a crontab as DAG files.

use super::read::Entry;
use std::collections::BTreeSet;

/// Settings that say something to cron and not to the command.
const FOR_CRON: [&str; 7] = [
    "MAILTO",
    "MAILFROM",
    "CONTENT_TYPE",
    "CONTENT_TRANSFER_ENCODING",
    "CRON_TZ",
    "RANDOM_DELAY",
    "CRON_CORRECT_MAIL_SENDER",
];

/// A DAG file that stands for a line, or for several.
#[derive(Debug)]
pub struct Written {
    /// The DAG's name.
    pub dag_id: String,
    /// The file.
    pub toml: String,
    /// What is not quite as it was.
    pub notes: Vec<String>,
}

/// Writes the DAG file of lines with the same times: a task for each. `zone` is where their fields
/// are read; `taken` are names that other files have, and gets this one's.
pub fn write(
    entries: &[Entry],
    zone: &str,
    taken: &mut BTreeSet<String>,
) -> Result<Written, String> {
    let first = entries.first().ok_or("there is no line")?;
    let dag_id = free_name(&name_of(&first.command), taken);
    let mut notes = Vec::new();
    let mut text = String::new();
    for entry in entries {
        text.push_str(&format!(
            "# Line {} of a crontab: {}\n",
            entry.line, entry.text
        ));
    }
    text.push_str("[dag]\n");
    let comments: Vec<&str> = entries.iter().map(|entry| entry.comment.as_str()).collect();
    if let Some(comment) = comments.iter().find(|comment| !comment.is_empty()) {
        text.push_str(&format!("description = {}\n", quoted(comment)));
    }
    text.push_str(&format!(
        "schedule = {{ cron = {}, run_immediately = false{} }}\n",
        quoted(&first.fields.expression()),
        jitter(first, &mut notes)
    ));
    text.push_str(&format!("timezone = {}\n", quoted(zone)));
    if first.is_single {
        text.push_str("concurrency = { limit = 1, policy = \"skip\" }\n");
    }
    let mut tasks = BTreeSet::new();
    for entry in entries {
        let task_id = free_name(&name_of(&entry.command), &mut tasks);
        let task_id = if entries.len() == 1 {
            &dag_id
        } else {
            &task_id
        };
        write_task(entry, task_id, &mut text, &mut notes)?;
    }
    Ok(Written {
        dag_id,
        toml: text,
        notes,
    })
}

fn write_task(
    entry: &Entry,
    task_id: &str,
    text: &mut String,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    text.push_str(&format!("\n[tasks.{task_id}]\n"));
    notes.extend(entry.notes.iter().cloned());
    if let Some(user) = &entry.user {
        text.push_str(&format!("run_as_user = {}\n", quoted(user)));
    }
    let env = env(entry, notes)?;
    if !env.is_empty() {
        text.push_str(&format!("env = {{ {} }}\n", env.join(", ")));
    }
    // cron starts commands in the home folder of their user.
    let command = literal(&format!("cd\n{}", entry.command))?;
    text.push_str(&format!(
        "\n[tasks.{task_id}.shell]\ncommand = {}\ninterpreter = [{}, \"-c\"]\n",
        quoted(&command),
        quoted(entry.setting("SHELL").unwrap_or("/bin/sh"))
    ));
    if let Some(stdin) = &entry.stdin {
        text.push_str(&format!("stdin = {}\n", quoted(&literal(stdin)?)));
    }
    match entry.setting("MAILTO") {
        Some("") | None => {}
        Some(whom) => notes.push(format!(
            "MAILTO={whom}: output is not mailed; it is in the log of the task"
        )),
    }
    Ok(())
}

fn jitter(entry: &Entry, notes: &mut Vec<String>) -> String {
    match entry.setting("RANDOM_DELAY").map(str::parse::<u32>) {
        None | Some(Ok(0)) => String::new(),
        Some(Ok(minutes)) => {
            notes.push(
                "RANDOM_DELAY: the delay is the same for each run, by the name of the DAG"
                    .to_string(),
            );
            format!(", jitter = \"{minutes}m\"")
        }
        Some(Err(_)) => {
            notes.push("RANDOM_DELAY is not a number of minutes: left out".to_string());
            String::new()
        }
    }
}

fn env(entry: &Entry, notes: &mut Vec<String>) -> Result<Vec<String>, String> {
    let mut env = Vec::new();
    for (name, value) in &entry.settings {
        if FOR_CRON.contains(&name.as_str()) {
            continue;
        }
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if starts_well && is_name {
            env.push(format!("{name} = {}", quoted(&literal(value)?)));
        } else {
            notes.push(format!(
                "`{name}` cannot be the name of a variable: left out"
            ));
        }
    }
    Ok(env)
}

/// A text that a template engine leaves as it is.
fn literal(text: &str) -> Result<String, String> {
    if !tidemill_template::is_template(text) {
        return Ok(text.to_string());
    }
    if text.contains("endraw") {
        return Err("it holds template syntax that cannot be kept as text".to_string());
    }
    Ok(format!("{{% raw %}}{text}{{% endraw %}}"))
}

/// A TOML text in quotes: JSON's rules, and one character more.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

/// What people would call the command: its first word that is a program.
fn name_of(command: &str) -> String {
    const AROUND: [&str; 8] = ["cd", "nice", "ionice", "sudo", "env", "test", "[", "exec"];
    let words = command.split([' ', '\t', ';', '&', '|', '(', ')', '"', '\'']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_program = |(at, word): &(usize, &&str)| {
        let starts_well = word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
        let is_folder = *at > 0 && words[*at - 1] == "cd";
        starts_well && !is_folder && !word.contains('=') && !AROUND.contains(*word)
    };
    let word = words.iter().enumerate().find(is_program);
    let word = word.map_or("job", |(_, word)| word);
    let base = word
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(word);
    let stem = base.split('.').next().filter(|stem| !stem.is_empty());
    let name: String = stem
        .unwrap_or("job")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .take(100)
        .collect();
    if name.is_empty() {
        "job".to_string()
    } else {
        name
    }
}

fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|n| format!("{name}_{n}"));
    let free = std::iter::once(name.to_string())
        .chain(numbered)
        .find(|name| taken.insert(name.clone()));
    free.unwrap_or_default()
}
