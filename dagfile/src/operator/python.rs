//! `python`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{Key, Kind, key};
use serde_json::Value;

pub(crate) const PYTHON: OperatorKeys = OperatorKeys {
    name: "python",
    short: Some("script"),
    keys: KEYS,
    results: &["stdout", "exit_code"],
    only_looks: false,
    check,
};

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("script", Kind::File, "", "A file next to the DAG; or `call`."),
    key("call", Kind::Text, "", "A function, `package.module:function`; what it returns is the output."),
    key("python", Kind::Text, "\"python3\"", "The interpreter, by name or path; nothing has to be installed in it."),
    key("venv", Kind::Text, "", "A virtual environment, whose interpreter is used."),
    key("kwargs", Kind::TemplateTree, "{}", "What the function is called with."),
    key("args", Kind::Templates, "[]", "`sys.argv` of a script, after its name."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: Option<&'static str>, message: &str, help: &'static str| {
        faults.push(Fault {
            key,
            message: message.to_string(),
            help,
        });
    };
    match (settings.has("script"), settings.has("call")) {
        (true, true) => fault(
            Some("call"),
            "a python task has `script` or `call`, not both",
            "make two tasks of it",
        ),
        (false, false) => fault(
            None,
            "the python task says neither `script` nor `call`",
            "write script = \"load.py\" or call = \"package.module:function\"",
        ),
        (true, false) if settings.has("kwargs") => fault(
            Some("kwargs"),
            "`kwargs` are for a function; a script has `args`",
            "write `call` instead of `script`, or use `args`",
        ),
        _ => {}
    }
    if settings.has("python") && settings.has("venv") {
        fault(
            Some("venv"),
            "a python task has `python` or `venv`, not both",
            "the interpreter of a virtual environment is its bin/python",
        );
    }
    if let Some(Value::String(call)) = settings.get("call")
        && !is_call(call)
    {
        fault(
            Some("call"),
            "`call` is not package.module:function",
            "write it like \"etl.load:main\"",
        );
    }
    if settings
        .get("kwargs")
        .is_some_and(|kwargs| !kwargs.is_object())
    {
        fault(
            Some("kwargs"),
            "`kwargs` is a table of arguments by name",
            "write it like { day = \"{{ ds }}\" }",
        );
    }
    faults
}

fn is_call(text: &str) -> bool {
    let is_path = |path: &str| path.split('.').all(is_name);
    text.split_once(':')
        .is_some_and(|(module, function)| is_path(module) && is_path(function))
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let is_start = |c: char| c.is_alphabetic() || c == '_';
    chars.next().is_some_and(is_start) && chars.all(|c| c.is_alphanumeric() || c == '_')
}
