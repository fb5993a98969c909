//! Connections and variables that templates name.

use crate::diagnostic::Diagnostic;
use crate::place::offset_in_source;
use crate::suggest::nearest;
use crate::walk::{Text, Walk};
use tidemill_model::Uses;
use tidemill_template::{CONNECTION_FIELDS, Named, OutsideUse, References};

/// Fields that a template may not write out: what is rendered is stored and shown.
const SECRET_FIELDS: [&str; 4] = ["password", "extra", "get_uri", "uri"];

/// Keeps what a template uses; reports what it may not.
pub(crate) fn take(walk: &mut Walk, text: &Text, one: &OutsideUse, uses: &mut Uses) {
    match one {
        OutsideUse::Variable { key, is_optional } => uses.add_variable(&key.name, *is_optional),
        OutsideUse::Connection { id, field } => {
            uses.add_connection(&id.name);
            check_field(walk, text, id, field.as_ref());
        }
    }
}

fn check_field(walk: &mut Walk, text: &Text, id: &Named, field: Option<&Named>) {
    let id_name = &id.name;
    let Some(field) = field else {
        let one = error(
            walk,
            text,
            id,
            "TM0212",
            format!("`conn.{id_name}` is a whole connection"),
        );
        return walk.report(one.label("name one of its fields, such as `host`"));
    };
    let name = &field.name;
    if CONNECTION_FIELDS.contains(&name.as_str()) {
        return;
    }
    if SECRET_FIELDS.contains(&name.as_str()) {
        let field_name = if name == "get_uri" { "uri" } else { name };
        let message = format!("a template may not write out `{name}` of a connection");
        let help = format!(
            "give it to the task: secrets = {{ NAME = \"conn.{id_name}.{field_name}\" }}, and use \"$NAME\""
        );
        let one = error(walk, text, field, "TM0211", message);
        return walk.report(one.label("secret").help(help));
    }
    let one = error(
        walk,
        text,
        field,
        "TM0212",
        format!("a connection has no `{name}`"),
    );
    walk.report(match nearest(name, CONNECTION_FIELDS.iter().copied()) {
        Some(near) => one.label(format!("did you mean `{near}`?")),
        None => one
            .label("unknown")
            .help(format!("there are {}", CONNECTION_FIELDS.join(", "))),
    });
}

/// Reports connections, variables and what is asked of earlier runs where no task is: nothing has
/// been looked up there.
pub(crate) fn refuse_all(walk: &mut Walk, text: &Text, found: &References) {
    for one in &found.outside {
        let named = match one {
            OutsideUse::Connection { id, .. } => id,
            OutsideUse::Variable { key, .. } => key,
        };
        refuse(walk, text, named, "connections and variables are");
    }
    for named in &found.looked_up {
        refuse(walk, text, named, &format!("`{}` is", named.name));
    }
}

fn refuse(walk: &mut Walk, text: &Text, named: &Named, what: &str) {
    let message = format!("{what} looked up when a task starts, which is later");
    let one = error(walk, text, named, "TM0210", message);
    walk.report(one.label("not known yet"));
}

fn error(walk: &Walk, text: &Text, at: &Named, code: &'static str, message: String) -> Diagnostic {
    let place = |offset: usize| offset_in_source(walk.source, &text.span, offset);
    Diagnostic::error(code, place(at.range.start)..place(at.range.end), message)
}
