//! A crontab, line by line, as crontab(5) has it.

use super::fields::Fields;
use super::random;

/// A line that starts a command.
#[derive(Debug)]
pub struct Entry {
    /// Its line, from 1.
    pub line: usize,
    /// The line as it stands.
    pub text: String,
    /// When.
    pub fields: Fields,
    /// As whom; only system crontabs say so.
    pub user: Option<String>,
    /// The command, with `\%` as `%`.
    pub command: String,
    /// What the command reads: the text after the first `%`.
    pub stdin: Option<String>,
    /// The settings above it.
    pub settings: Vec<(String, String)>,
    /// The comment right above it.
    pub comment: String,
    /// Does a start wait until the one before is over, and is then left out (`-s`)?
    pub is_single: bool,
    /// What is not quite as it was.
    pub notes: Vec<String>,
}

impl Entry {
    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A line that cannot be taken over.
#[derive(Debug)]
pub struct Refused {
    /// Its line, from 1.
    pub line: usize,
    /// The line as it stands.
    pub text: String,
    /// Why, and what to do instead.
    pub why: String,
    /// Is the line wrong, or is it right and has no counterpart here?
    pub is_mistake: bool,
}

/// What a crontab says.
#[derive(Debug, Default)]
pub struct Crontab {
    /// Its commands.
    pub entries: Vec<Entry>,
    /// What cannot be taken over.
    pub refused: Vec<Refused>,
}

/// Reads a crontab. Each line of a system crontab names a user.
pub fn read(text: &str, is_system: bool) -> Crontab {
    let mut crontab = Crontab::default();
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for (at, whole) in text.lines().enumerate() {
        let line = whole.trim();
        if line.is_empty() {
            comment.clear();
        } else if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some((name, value)) = setting(line) {
            settings.retain(|(known, _)| *known != name);
            settings.push((name, value));
            comment.clear();
        } else {
            match entry(line, is_system) {
                Ok(parts) => {
                    let (command, stdin) = split_at_percent(&parts.command);
                    crontab.entries.push(Entry {
                        line: at + 1,
                        text: line.to_string(),
                        fields: parts.fields,
                        user: parts.user,
                        command,
                        stdin,
                        is_single: parts.is_single,
                        notes: parts.notes,
                        settings: settings.clone(),
                        comment: comment.join(" ").trim().to_string(),
                    });
                }
                Err((why, is_mistake)) => crontab.refused.push(Refused {
                    line: at + 1,
                    text: line.to_string(),
                    why,
                    is_mistake,
                }),
            }
            comment.clear();
        }
    }
    crontab
}

/// `NAME = value`; either may stand in quotes. What has a blank in front of its `=` and something
/// before that is a command.
fn setting(line: &str) -> Option<(String, String)> {
    let (name, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].split_once(quote)?,
        _ => {
            let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
            line.split_at(end)
        }
    };
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) if value.len() > 1 && value.ends_with(quote) => {
            &value[1..value.len() - 1]
        }
        _ => value,
    };
    (!name.is_empty()).then(|| (name.to_string(), value.to_string()))
}

type Why = (String, bool);

/// What stands in a line that starts a command.
struct Parts {
    fields: Fields,
    user: Option<String>,
    /// With its `%`.
    command: String,
    is_single: bool,
    notes: Vec<String>,
}

fn entry(line: &str, is_system: bool) -> Result<Parts, Why> {
    // A leading `-` keeps the line out of the system log.
    let line = line.strip_prefix('-').unwrap_or(line);
    let (times, rest) = match line.starts_with('@') {
        true => {
            let (preset, rest) = word(line);
            (vec![preset], rest)
        }
        false => five_words(line),
    };
    let (user, rest) = match is_system {
        true => {
            let (user, rest) = word(rest);
            (Some(user.to_string()), rest)
        }
        false => (None, rest),
    };
    let (flags, command) = flags(rest);
    let (fields, mut notes) = match times.as_slice() {
        [name] => (preset(name)?, Vec::new()),
        five => fields(five, command)?,
    };
    if command.is_empty() {
        return Err(("the line has no command".to_string(), true));
    }
    if flags.contains(['n', 'q']) {
        notes.push(format!(
            "-{flags}: output is neither mailed nor in the system log; it is in the log of the task"
        ));
    }
    Ok(Parts {
        fields,
        user,
        command: command.to_string(),
        is_single: flags.contains('s'),
        notes,
    })
}

fn five_words(line: &str) -> (Vec<&str>, &str) {
    let mut rest = line;
    let words = (0..5).map(|_| {
        let (field, after) = word(rest);
        rest = after;
        field
    });
    (words.collect(), rest)
}

fn fields(five: &[&str], command: &str) -> Result<(Fields, Vec<String>), Why> {
    let mistake = |why: String| (why, true);
    let (settled, notes) = random::settle(five, command).map_err(mistake)?;
    let settled: Vec<&str> = settled.iter().map(String::as_str).collect();
    Ok((Fields::read(&settled).map_err(mistake)?, notes))
}

/// What may stand before a command: `-n` (no mail of a success), `-q` (nothing in the system log),
/// `-s` (one at a time), also together.
fn flags(rest: &str) -> (&str, &str) {
    let (first, command) = word(rest);
    match first.strip_prefix('-') {
        Some(flags) if !flags.is_empty() && flags.bytes().all(|flag| b"nqs".contains(&flag)) => {
            (flags, command)
        }
        _ => ("", rest),
    }
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn preset(word: &str) -> Result<Fields, Why> {
    let expression = match word.to_ascii_lowercase().as_str() {
        "@reboot" => {
            let why = "a start of the machine is no schedule; let the service manager start it, e.g. a systemd unit with Type=oneshot";
            return Err((why.to_string(), false));
        }
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@every_minute" => "* * * * *",
        other => return Err((format!("`{other}` is not known to crontab(5)"), true)),
    };
    let fields: Vec<&str> = expression.split(' ').collect();
    Fields::read(&fields).map_err(|why| (why, true))
}

/// The first `%` ends the command; it and the others are line ends of what the command reads.
fn split_at_percent(text: &str) -> (String, Option<String>) {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_escaped = c == '\\' && chars.peek() == Some(&'%');
        match c {
            '\\' if is_escaped => {
                chars.next();
                push(&mut parts, '%');
            }
            '%' => parts.push(String::new()),
            c => push(&mut parts, c),
        }
    }
    let command = parts.remove(0).trim_end().to_string();
    (
        command,
        (!parts.is_empty()).then(|| parts.join("\n") + "\n"),
    )
}

fn push(parts: &mut [String], c: char) {
    if let Some(last) = parts.last_mut() {
        last.push(c);
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
