//! The text of SQL taken apart: statements, and the places of their parameters. Nothing inside a
//! literal, a quoted name or a comment is looked at.

use serde_json::{Map, Value};

/// One statement with its parameters taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// What stands before, between and after the parameters.
    pieces: Vec<String>,
    /// The names of the parameters, in their order; a name may come twice.
    pub names: Vec<String>,
}

impl Statement {
    /// The text with these words in the parameters' places; they are told the place from 0.
    pub(super) fn text(&self, mut word: impl FnMut(usize) -> String) -> String {
        let mut text = String::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            text.push_str(piece);
            if at < self.names.len() {
                text.push_str(&word(at));
            }
        }
        text
    }

    /// The values of its parameters, in their order.
    ///
    /// # Errors
    /// The first name that has none.
    pub(super) fn values(&self, given: &Map<String, Value>) -> Result<Vec<Value>, String> {
        let value = |name: &String| {
            let missing = || format!("`:{name}` is not among the parameters");
            given.get(name).cloned().ok_or_else(missing)
        };
        self.names.iter().map(value).collect()
    }

    /// Its beginning on one line, for messages.
    pub(super) fn shown(&self) -> String {
        let text = self.text(|at| format!(":{}", self.names[at]));
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        match line.char_indices().nth(80) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.pieces.iter().all(|piece| is_blank(piece))
    }
}

/// Is there nothing but spaces and comments?
fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(length) = comment(rest) {
        rest = rest[length..].trim_start();
    }
    rest.is_empty()
}

/// Takes a text apart.
pub(super) fn parse(sql: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut pieces = Vec::new();
    let mut names = Vec::new();
    let mut piece = String::new();
    let mut rest = sql;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = opaque(rest, before) {
            piece.push_str(&rest[..length]);
            rest = &rest[length..];
            before = None;
            continue;
        }
        if first == ';' {
            pieces.push(std::mem::take(&mut piece));
            statements.push(Statement {
                pieces: std::mem::take(&mut pieces),
                names: std::mem::take(&mut names),
            });
            rest = &rest[1..];
            before = None;
            continue;
        }
        let name = parameter(rest).filter(|_| before != Some(':'));
        if let Some(name) = name {
            pieces.push(std::mem::take(&mut piece));
            rest = &rest[1 + name.len()..];
            names.push(name.to_string());
            before = None;
            continue;
        }
        piece.push(first);
        rest = &rest[first.len_utf8()..];
        before = Some(first);
    }
    pieces.push(piece);
    statements.push(Statement { pieces, names });
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// The name after a colon.
fn parameter(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(':')?;
    if !rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let length = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    Some(&rest[..length])
}

/// The length of a literal, a quoted name or a comment at the start of a text; all of the rest
/// when it is not closed.
fn opaque(text: &str, before: Option<char>) -> Option<usize> {
    comment(text)
        .or_else(|| quoted(text, before))
        .or_else(|| dollar_quoted(text, before))
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').map_or(text.len(), |at| at + 1));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    Some(text.len())
}

fn quoted(text: &str, before: Option<char>) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))? as u8;
    let has_escapes = quote == b'\'' && matches!(before, Some('e' | 'E'));
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if has_escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
    Some(text.len())
}

/// PostgreSQL's `$tag$ … $tag$`.
fn dollar_quoted(text: &str, before: Option<char>) -> Option<usize> {
    let is_in_a_word = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    let rest = text.strip_prefix('$').filter(|_| !is_in_a_word)?;
    let length = rest.find('$')?;
    let tag = &rest[..length];
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    let mark = &text[..length + 2];
    let end = text[mark.len()..].find(mark);
    Some(end.map_or(text.len(), |at| mark.len() * 2 + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> Vec<String> {
        let show = |statement: &Statement| {
            statement
                .text(|at| format!("<{}>", statement.names[at]))
                .trim()
                .to_string()
        };
        parse(sql).iter().map(show).collect()
    }

    #[test]
    fn parameters_are_found_and_casts_are_none() {
        assert_eq!(
            shown("select :a::int, x::text, y[1:2], :b_2 from t where z = :a"),
            ["select <a>::int, x::text, y[1:2], <b_2> from t where z = <a>"]
        );
    }

    #[test]
    fn nothing_in_literals_names_and_comments_counts() {
        for text in [
            "select ':a; ''b'",
            "select \"x:y;\"",
            "select 1 -- :a; b",
            "select /* :a; /* ; */ :b */ 1",
            "select $$ :a; ' $$",
            "select $f$ :a $$ ; $f$",
            "select E'\\':a;'",
            "select 'open :a;",
        ] {
            assert_eq!(shown(text), [text], "{text}");
            assert!(parse(text)[0].names.is_empty(), "{text}");
        }
        assert_eq!(shown("select 'a\\', :b"), ["select 'a\\', <b>"]);
    }

    #[test]
    fn statements_are_split_and_empty_ones_dropped() {
        assert_eq!(
            shown("insert into t values (:a);\n; -- end\nselect 1; /* no more */"),
            ["insert into t values (<a>)", "-- end\nselect 1"]
        );
        assert!(parse(" ;; -- nothing\n").is_empty());
    }

    #[test]
    fn any_text_is_taken_apart_without_losing_a_byte() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let signs = [
            "'", "\"", "$", "$a$", ":", ":n", ";", "--", "\n", "/*", "*/", "é", "E'", "\\", " ",
        ];
        for seed in 0..5_000u64 {
            let mut text = String::new();
            for place in 0..12u64 {
                let mut hasher = DefaultHasher::new();
                (seed, place).hash(&mut hasher);
                text.push_str(signs[(hasher.finish() % signs.len() as u64) as usize]);
            }
            let whole: String = parse(&text)
                .iter()
                .map(|one| one.text(|at| format!(":{}", one.names[at])))
                .collect();
            let kept = |text: &str| {
                text.chars()
                    .filter(|c| !matches!(c, ';' | ' ' | '\n'))
                    .count()
            };
            assert!(kept(&whole) <= kept(&text), "seed {seed}: {text:?}");
        }
    }
}
