//! What commands print: data on standard output, everything else on standard error.

use crate::args::{Color, Output};
use crate::exit::{Exit, Failure};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// How this command prints.
pub struct Printer {
    /// What was asked for.
    pub output: Option<Output>,
    /// Colours on standard output?
    pub color: bool,
    /// Is standard output a terminal?
    pub is_terminal: bool,
}

impl Printer {
    /// From the command line and the terminal.
    pub fn new(output: Option<Output>, color: Color) -> Printer {
        let is_terminal = std::io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && wanted,
        };
        Printer {
            output,
            color,
            is_terminal,
        }
    }

    /// Is JSON asked for?
    pub fn is_json(&self) -> bool {
        self.output == Some(Output::Json)
    }

    /// A table for people, tab-separated lines for pipes, names or JSON when asked for.
    /// The first column is the name.
    pub fn list(&self, columns: &[&str], rows: Vec<Vec<String>>, whole: &Value) {
        match self.output {
            Some(Output::Json) => json(whole),
            Some(Output::Name) => rows.iter().for_each(|row| line(&row[0])),
            Some(Output::Table) => line(&table(columns, rows)),
            None if self.is_terminal => line(&table(columns, rows)),
            None => rows.iter().for_each(|row| line(&row.join("\t"))),
        }
    }

    /// A state with its colour, where there are colours.
    pub fn state(&self, state: &str) -> String {
        let code = match state {
            "success" => "32",
            "failed" | "upstream_failed" => "31",
            "running" | "restarting" => "36",
            "up_for_retry" => "33",
            _ => return state.to_string(),
        };
        if self.color {
            format!("\x1b[{code}m{state}\x1b[0m")
        } else {
            state.to_string()
        }
    }
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// JSON for programs, indented.
pub fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A line on standard output. A reader that is gone ends the program quietly, as cat(1) does.
pub fn line(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// A JSON text, or nothing.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// Asks a person whether to go on.
///
/// # Errors
/// When nobody is there to ask; `hint` says what to do then.
pub fn confirmed(what: &str, hint: &str) -> Result<bool, Failure> {
    eprintln!("{what}");
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is there to ask").hint(hint));
    }
    eprint!("go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
