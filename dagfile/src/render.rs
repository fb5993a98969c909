//! Diagnostics as people read them, in the look of rustc.

use crate::diagnostic::{Diagnostic, Lines, Severity, floor_to_char};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Patch, Renderer, Snippet};
use std::ops::Range;

/// Other places further away than this, in lines, are not shown.
const LINES_SHOWN_MAX: u32 = 2_000;

/// All diagnostics of a file, with the lines that they are about; in colour when `color`.
pub fn render_text(file: &str, source: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let lines = Lines::new(source);
    let mut ordered: Vec<&Diagnostic> = diagnostics.iter().collect();
    ordered.sort_by_key(|one| one.span.start);
    let mut text = String::new();
    for one in ordered {
        text.push_str(&render_one(&renderer, file, source, &lines, one));
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn render_one(
    renderer: &Renderer,
    file: &str,
    source: &str,
    lines: &Lines,
    one: &Diagnostic,
) -> String {
    let main = clamp(source, &one.span);
    let home = lines.line(main.start);
    let near = |span: &Range<usize>| lines.line(span.start).abs_diff(home) <= LINES_SHOWN_MAX;
    let others: Vec<_> = one
        .others
        .iter()
        .map(|(span, label)| (clamp(source, span), label))
        .filter(|(span, _)| near(span))
        .collect();
    let patch = one
        .patch
        .as_ref()
        .map(|(span, new)| (clamp(source, span), new))
        .filter(|(span, _)| near(span));
    let spans = || {
        others
            .iter()
            .map(|(span, _)| span)
            .chain(patch.iter().map(|(span, _)| span))
            .chain([&main])
    };
    let first = lines.line(spans().map(|span| span.start).min().unwrap_or(main.start));
    let last = lines.line(spans().map(|span| span.end).max().unwrap_or(main.end));
    let window = lines.start(first)..next_line(source, lines, last);
    let shift = |span: &Range<usize>| span.start - window.start..span.end - window.start;
    let shown = source.get(window.clone()).unwrap_or("");

    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut annotated = snippet(shown, file, first).annotation(
        AnnotationKind::Primary
            .span(shift(&main))
            .label(one.label.as_str()),
    );
    for (span, label) in &others {
        annotated = annotated.annotation(
            AnnotationKind::Context
                .span(shift(span))
                .label(label.as_str()),
        );
    }
    let mut report = vec![
        level
            .primary_title(one.message.as_str())
            .id(one.code)
            .element(annotated),
    ];
    let help = one.help.as_deref();
    match (&patch, help) {
        (Some((span, new)), help) => report.push(
            Level::HELP
                .secondary_title(help.unwrap_or("write it like this"))
                .element(snippet(shown, file, first).patch(Patch::new(shift(span), new.as_str()))),
        ),
        (None, Some(help)) => {
            if let Some(first) = report.pop() {
                report.push(first.element(Level::HELP.message(help)));
            }
        }
        (None, None) => {}
    }
    renderer.render(&report)
}

fn snippet<'a, T: Clone>(shown: &'a str, file: &'a str, first: u32) -> Snippet<'a, T> {
    Snippet::source(shown).path(file).line_start(first as usize)
}

/// A span that slicing cannot refuse.
fn clamp(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor_to_char(source, span.start);
    start..floor_to_char(source, span.end).max(start)
}

fn next_line(source: &str, lines: &Lines, line: u32) -> usize {
    let start = lines.start(line);
    source[start..]
        .find('\n')
        .map_or(source.len(), |at| start + at + 1)
}
