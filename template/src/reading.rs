//! What the steps of a path mean, once its first name is known.

use crate::analysis::{Named, TaskUse, TaskValue, constant, range};
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

/// `ti.xcom_pull(task_ids=…, key=…)`, whose names are written out; else the sentence that says so.
pub(crate) fn xcom_pull(call: &ast::Call) -> Result<Vec<TaskUse>, &'static str> {
    let (mut tasks, mut key) = (None, None);
    for arg in &call.args {
        match arg {
            ast::CallArg::Pos(expr) if tasks.is_none() => tasks = Some(expr),
            ast::CallArg::Kwarg("task_ids", expr) => tasks = Some(expr),
            ast::CallArg::Kwarg("key", expr) => key = Some(expr),
            ast::CallArg::Kwarg("map_indexes" | "default", _) => {}
            _ => {
                return Err(
                    "xcom_pull sees the tasks of its own run: task_ids, key, map_indexes, default",
                );
            }
        }
    }
    let value = match key {
        None => Some(TaskValue::Output),
        Some(expr) => constant(expr).map(|name| match name.as_str() {
            "return_value" => TaskValue::Output,
            _ => TaskValue::Key(Named {
                name,
                range: range(expr.span()),
            }),
        }),
    };
    let one = |expr: &ast::Expr| {
        Some(Named {
            name: constant(expr)?,
            range: range(expr.span()),
        })
    };
    let names: Option<Vec<Named>> = tasks.and_then(|expr| match expr {
        ast::Expr::List(list) => list.items.iter().map(one).collect(),
        ast::Expr::Tuple(tuple) => tuple.items.iter().map(one).collect(),
        _ => one(expr).map(|name| vec![name]),
    });
    let (Some(names), Some(value)) = (names, value) else {
        return Err(
            "xcom_pull needs task_ids (and key) written out as text, so that they can be checked",
        );
    };
    let uses = names.into_iter().map(|task| TaskUse {
        task,
        value: value.clone(),
    });
    Ok(uses.collect())
}
