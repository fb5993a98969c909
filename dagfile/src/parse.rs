//! Bytes to a tree with places, and everything that stops a file before its keys are looked at.

use crate::diagnostic::Diagnostic;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// The most that a file may have, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 32 << 20;
/// How deep tables and arrays may stand in each other.
pub(crate) const DEPTH_MAX: usize = 64;

/// A table of the tree.
pub(crate) type Table<'s> = DeTable<'s>;
/// A key of a table.
pub(crate) type Key<'s> = Spanned<DeString<'s>>;
/// A value of the tree.
pub(crate) type Value<'s> = Spanned<DeValue<'s>>;

/// The text of a file, unless its bytes are no text.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Box<Diagnostic>> {
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes; the limit is {FILE_BYTES_MAX}",
            bytes.len()
        );
        let one = Diagnostic::error("TM0005", 0..0, message);
        return Err(Box::new(
            one.help("move data and long scripts into files beside it"),
        ));
    }
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        let one = Diagnostic::error("TM0004", 0..3, "the file begins with a byte order mark");
        return Err(Box::new(one.help("save it as UTF-8 without BOM")));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let message = format!("the file holds a NUL byte at byte {at}");
        let one = Diagnostic::error("TM0003", at..at + 1, message);
        return Err(Box::new(one.help("save it as UTF-8 text")));
    }
    std::str::from_utf8(bytes).map_err(|err| {
        let at = err.valid_up_to();
        let message = format!("the file is not UTF-8 at byte {at}");
        let one = Diagnostic::error("TM0002", at..at + 1, message);
        Box::new(one.help("save it as UTF-8 text"))
    })
}

/// The tree and all syntax errors. The tree has what could be read.
pub(crate) fn tree(source: &str) -> (Spanned<DeTable<'_>>, Vec<Diagnostic>) {
    let (root, errors) = DeTable::parse_recoverable(source);
    let mut found: Vec<Diagnostic> = Vec::new();
    for err in errors.iter().take(crate::walk::DIAGNOSTICS_MAX + 1) {
        let span = err.span().unwrap_or(0..0);
        if err.message().contains("recurs") {
            if !found.iter().any(|one| one.code == "TM0006") {
                found.push(too_deep(span));
            }
            continue;
        }
        let span = if span.is_empty() {
            span.start..(span.start + 1).min(source.len())
        } else {
            span
        };
        found.push(Diagnostic::error("TM0001", span, err.message().to_string()));
    }
    let is_too_deep = found.iter().any(|one| one.code == "TM0006");
    if let Some(span) = deepest(&root).filter(|_| !is_too_deep) {
        found.push(too_deep(span));
    }
    if found.iter().any(|one| one.code == "TM0006") {
        // Whatever else the reader says is about brackets that it did not follow any more.
        found.retain(|one| one.code == "TM0006");
    }
    (root, found)
}

fn too_deep(span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(
        "TM0006",
        span,
        format!("tables and arrays stand more than {DEPTH_MAX} levels deep here"),
    )
    .help("a DAG needs a handful of levels; move data into a file beside the DAG")
}

/// A value below [`DEPTH_MAX`], if there is one. The parser's own limit bounds the recursion that
/// a loop over a stack replaces here.
fn deepest(root: &Spanned<DeTable>) -> Option<std::ops::Range<usize>> {
    let mut stack: Vec<(&Value, usize)> = root.get_ref().values().map(|value| (value, 1)).collect();
    while let Some((value, depth)) = stack.pop() {
        if depth > DEPTH_MAX {
            return Some(value.span());
        }
        match value.get_ref() {
            DeValue::Array(items) => stack.extend(items.iter().map(|item| (item, depth + 1))),
            DeValue::Table(table) => stack.extend(table.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    None
}
