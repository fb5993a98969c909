//! A crontab, line by line, as crontab(5) has it.

use super::fields::Fields;

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
                Ok((fields, user, rest)) => {
                    let (command, stdin) = split_at_percent(&rest);
                    crontab.entries.push(Entry {
                        line: at + 1,
                        text: line.to_string(),
                        fields,
                        user,
                        command,
                        stdin,
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

fn entry(line: &str, is_system: bool) -> Result<(Fields, Option<String>, String), Why> {
    // A leading `-` keeps the line out of the system log.
    let line = line.strip_prefix('-').unwrap_or(line);
    let mistake = |why: &str| (why.to_string(), true);
    let (fields, rest) = if line.starts_with('@') {
        let (word, rest) = word(line);
        (preset(word)?, rest)
    } else {
        let mut rest = line;
        let mut fields = Vec::new();
        for _ in 0..5 {
            let (field, after) = word(rest);
            fields.push(field);
            rest = after;
        }
        (Fields::read(&fields).map_err(|why| (why, true))?, rest)
    };
    let (user, command) = if is_system {
        let (user, command) = word(rest);
        (Some(user.to_string()), command)
    } else {
        (None, rest)
    };
    if command.is_empty() {
        return Err(mistake("the line has no command"));
    }
    Ok((fields, user, command.to_string()))
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
