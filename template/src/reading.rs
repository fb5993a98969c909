//! What the steps of a path mean, once its first name is known.

use crate::analysis::{Named, TaskValue, constant, range};
use crate::outside::{self, OutsideUse};
use minijinja::machinery::ast;

/// Facts of a trigger that are numbers or names of ours: no shell syntax is in them.
pub(crate) fn is_number(fact: &str) -> bool {
    [
        "partition",
        "first_offset",
        "end_offset",
        "count",
        "bytes",
        "records_file",
        "name",
        "topic",
    ]
    .contains(&fact)
}

pub(crate) fn task_value(rest: &[Named]) -> TaskValue {
    match rest {
        [] => TaskValue::State,
        [first, rest @ ..] => match (first.name.as_str(), rest) {
            ("output", _) => TaskValue::Output,
            ("state" | "states", _) => TaskValue::State,
            ("outputs_file", _) => TaskValue::File,
            ("outputs", [key, ..]) => TaskValue::Key(key.clone()),
            ("outputs", []) => TaskValue::State,
            _ => TaskValue::Unknown(first.clone()),
        },
    }
}

/// `var.value.get("key", "default")`.
pub(crate) fn variable_get(
    call: &ast::Call,
    method: &ast::Spanned<ast::GetAttr>,
) -> Option<OutsideUse> {
    let ast::Expr::GetAttr(form) = &method.expr else {
        return None;
    };
    let is_var = matches!(&form.expr, ast::Expr::Var(var) if var.id == "var");
    let [ast::CallArg::Pos(key), more @ ..] = call.args.as_slice() else {
        return None;
    };
    if !is_var || method.name != "get" {
        return None;
    }
    let key = Named {
        name: constant(key)?,
        range: range(key.span()),
    };
    outside::of_get(form.name, key, !more.is_empty())
}
