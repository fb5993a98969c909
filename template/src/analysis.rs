//! What a template refers to, found without rendering it.

use crate::environment::{FILTERS, FUNCTIONS, shared};
use crate::fields::{self, Absent};
use crate::outside::{self, OutsideUse};
use crate::reading::{is_number, task_value, variable_get, xcom_pull};
use crate::scope::{DATE_NAMES, INTERVAL_NAMES, LATER_NAMES, LOOKED_UP_NAMES, NAMES, RESULT_NAMES};
use crate::{TemplateError, is_template};
use minijinja::machinery::{ast, parse};
use minijinja::syntax::SyntaxConfig;
use std::collections::HashSet;
use std::ops::Range;

/// A name and its place in the template's text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub range: Range<usize>,
}

/// A use of a value that comes from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The parameter.
    pub name: String,
    /// Where the expression stands, e.g. `params.region`.
    pub range: Range<usize>,
    /// Does it pass through a filter (`quote`, `int`, …) that leaves no shell syntax, or is it
    /// only asked and not written out?
    pub is_safe: bool,
}

/// What of an upstream task is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskValue {
    /// Its return value.
    Output,
    /// A key of its `outputs`.
    Key(Named),
    /// The file with the outputs of all its instances.
    File,
    /// Its state, or the task as a whole.
    State,
    /// Something that a task does not have.
    Unknown(Named),
}

/// A use of a task's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskUse {
    /// The task's name and its place.
    pub task: Named,
    /// What of it.
    pub value: TaskValue,
}

/// Everything that a template refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Every name at the top that the template does not make itself, in the order of the alphabet.
    pub names: Vec<String>,
    /// Names at the top that nothing defines.
    pub unknown_names: Vec<Named>,
    /// Names that Airflow has, and fields and methods that a name has not, with what is there.
    pub absent: Vec<Absent>,
    /// Names of the format that this version does not fill in yet.
    pub later_names: Vec<Named>,
    /// Names of what is looked up when a task starts: of earlier runs, or of its own instances.
    pub looked_up: Vec<Named>,
    /// Names that exist only in `outputs`: `stdout`, `result`, `exit_code`.
    pub result_names: Vec<Named>,
    /// Names of dates, which a run may be without.
    pub dates: Vec<Named>,
    /// Does it ask for something (`if`, `default`), so that it may know what to do without?
    pub asks: bool,
    /// Filters that do not exist.
    pub unknown_filters: Vec<Named>,
    /// Parameters.
    pub params: Vec<Use>,
    /// Values of the run's own conf; `name` is the whole expression.
    pub conf: Vec<Use>,
    /// Facts of the records that the run is for; `name` is the whole expression.
    pub trigger: Vec<Use>,
    /// Values of other tasks.
    pub tasks: Vec<TaskUse>,
    /// Connections and variables.
    pub outside: Vec<OutsideUse>,
    /// Places that cannot be checked before the run, with what to write instead.
    pub unchecked: Vec<(Range<usize>, String)>,
}

/// Every name that a template can use, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().chain(RESULT_NAMES).chain(FUNCTIONS).copied()
}

/// Every filter, for suggestions.
pub fn filters() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().copied()
}

/// Compiles a template and lists what it refers to.
///
/// # Errors
/// When it does not compile, with the place.
pub fn check(text: &str) -> Result<References, TemplateError> {
    if !is_template(text) {
        return Ok(References::default());
    }
    let wrong = |err: minijinja::Error| TemplateError::of(&err, text);
    let template = shared().template_from_str(text).map_err(wrong)?;
    let undeclared = template.undeclared_variables(false);
    let tree = parse(text, "<template>", SyntaxConfig::default()).map_err(wrong)?;
    let mut walk = Walk {
        text,
        undeclared,
        found: References::default(),
    };
    if let ast::Stmt::Template(root) = &tree {
        walk.body(&root.children);
    }
    let named = walk.undeclared.into_iter();
    let mut names: Vec<String> = named
        .filter(|name| !FUNCTIONS.contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    walk.found.names = names;
    Ok(walk.found)
}

/// Filters whose result cannot hold shell syntax, whatever goes in.
const SAFE_FILTERS: &[&str] = &[
    "quote",
    "int",
    "float",
    "length",
    "count",
    "b64encode",
    "bool",
    "abs",
    "round",
];

struct Walk<'t> {
    text: &'t str,
    undeclared: HashSet<String>,
    found: References,
}

pub(crate) fn range(span: minijinja::machinery::Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

/// The value of a text constant.
pub(crate) fn constant(expr: &ast::Expr) -> Option<String> {
    expr.as_const()
        .and_then(|value| value.as_str().map(str::to_string))
}

impl Walk<'_> {
    fn body(&mut self, statements: &[ast::Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &ast::Stmt) {
        use ast::Stmt as S;
        match statement {
            S::Template(node) => self.body(&node.children),
            S::EmitExpr(node) => self.expr(&node.expr, false),
            S::EmitRaw(_) => {}
            S::ForLoop(node) => {
                self.expr(&node.iter, false);
                node.filter_expr
                    .iter()
                    .for_each(|expr| self.expr(expr, true));
                self.body(&node.body);
                self.body(&node.else_body);
            }
            S::IfCond(node) => {
                self.found.asks = true;
                self.expr(&node.expr, true);
                self.body(&node.true_body);
                self.body(&node.false_body);
            }
            S::WithBlock(node) => {
                node.assignments
                    .iter()
                    .for_each(|(_, expr)| self.expr(expr, false));
                self.body(&node.body);
            }
            S::Set(node) => self.expr(&node.expr, false),
            S::SetBlock(node) => {
                node.filter.iter().for_each(|expr| self.expr(expr, false));
                self.body(&node.body);
            }
            S::AutoEscape(node) => self.body(&node.body),
            S::FilterBlock(node) => {
                self.expr(&node.filter, false);
                self.body(&node.body);
            }
            S::Macro(node) => {
                node.defaults.iter().for_each(|expr| self.expr(expr, false));
                self.body(&node.body);
            }
            S::CallBlock(node) => {
                self.call(&node.call, range(node.call.span()), false);
                self.body(&node.macro_decl.body);
            }
            S::Do(node) => self.call(&node.call, range(node.call.span()), true),
            S::Block(node) => self.refuse(range(node.span()), "block"),
            S::Import(node) => self.refuse(range(node.span()), "import"),
            S::FromImport(node) => self.refuse(range(node.span()), "from"),
            S::Extends(node) => self.refuse(range(node.span()), "extends"),
            S::Include(node) => self.refuse(range(node.span()), "include"),
        }
    }

    fn refuse(&mut self, at: Range<usize>, word: &str) {
        self.found.unchecked.push((
            at,
            format!("`{{% {word} %}}` is not part of this format: a template stands alone"),
        ));
    }

    fn expr(&mut self, expr: &ast::Expr, is_safe: bool) {
        use ast::Expr as E;
        match expr {
            E::Var(node) => self.name(node.id, range(node.span()), is_safe),
            E::Const(_) => {}
            E::Slice(node) => {
                self.expr(&node.expr, is_safe);
                for part in [&node.start, &node.stop, &node.step].into_iter().flatten() {
                    self.expr(part, true);
                }
            }
            E::UnaryOp(node) => self.expr(&node.expr, true),
            E::BinOp(node) => {
                self.expr(&node.left, is_safe);
                self.expr(&node.right, is_safe);
            }
            E::Compare(node) => {
                self.expr(&node.expr, true);
                node.ops.iter().for_each(|op| self.expr(&op.expr, true));
            }
            E::IfExpr(node) => {
                self.found.asks = true;
                self.expr(&node.test_expr, true);
                self.expr(&node.true_expr, is_safe);
                node.false_expr
                    .iter()
                    .for_each(|expr| self.expr(expr, is_safe));
            }
            E::Filter(node) => {
                self.filter(node.name, range(node.span()));
                let is_safe = is_safe || SAFE_FILTERS.contains(&node.name);
                node.expr.iter().for_each(|expr| self.expr(expr, is_safe));
                self.args(&node.args, is_safe);
            }
            E::Test(node) => {
                self.expr(&node.expr, true);
                self.args(&node.args, true);
            }
            E::GetAttr(_) | E::GetItem(_) => self.path(expr, is_safe),
            E::Call(node) => self.call(node, range(node.span()), is_safe),
            E::List(node) => node.items.iter().for_each(|item| self.expr(item, is_safe)),
            E::Tuple(node) => node.items.iter().for_each(|item| self.expr(item, is_safe)),
            E::Map(node) => node
                .keys
                .iter()
                .chain(&node.values)
                .for_each(|item| self.expr(item, is_safe)),
        }
    }

    fn args(&mut self, args: &[ast::CallArg], is_safe: bool) {
        for arg in args {
            match arg {
                ast::CallArg::Pos(expr)
                | ast::CallArg::Kwarg(_, expr)
                | ast::CallArg::PosSplat(expr)
                | ast::CallArg::KwargSplat(expr) => self.expr(expr, is_safe),
            }
        }
    }

    fn name(&mut self, name: &str, at: Range<usize>, is_safe: bool) {
        if !self.undeclared.contains(name) || FUNCTIONS.contains(&name) {
            return;
        }
        let named = Named {
            name: name.to_string(),
            range: at.clone(),
        };
        if DATE_NAMES.contains(&name) || INTERVAL_NAMES.contains(&name) {
            self.found.dates.push(named.clone());
        }
        if LOOKED_UP_NAMES.contains(&name) {
            self.found.looked_up.push(named.clone());
        }
        if RESULT_NAMES.contains(&name) {
            self.found.result_names.push(named);
        } else if LATER_NAMES.contains(&name) {
            self.found.later_names.push(named);
        } else if !NAMES.contains(&name) {
            match fields::gone(name).map(str::to_string) {
                Some(instead) => self.found.absent.push(Absent { named, instead }),
                None => self.found.unknown_names.push(named),
            }
        } else if name == "params" {
            self.found.conf.push(Use {
                name: name.to_string(),
                range: at,
                is_safe,
            });
        } else if name == "trigger" {
            self.found.trigger.push(Use {
                name: name.to_string(),
                range: at,
                is_safe,
            });
        } else if name == "tasks" {
            let message = "name the task: `tasks.NAME.output`".to_string();
            self.found.unchecked.push((at, message));
        } else if let ("conn" | "var", Err(message)) = (name, outside::of_path(name, &[])) {
            self.found.unchecked.push((at, message.to_string()));
        }
    }

    fn filter(&mut self, name: &str, at: Range<usize>) {
        self.found.asks |= matches!(name, "default" | "d");
        if FILTERS.contains(&name) {
            return;
        }
        let start = self
            .text
            .get(at.clone())
            .and_then(|text| text.rfind(name))
            .map_or(at.start, |by| at.start + by);
        self.found.unknown_filters.push(Named {
            name: name.to_string(),
            range: start..start + name.len(),
        });
    }

    /// `a.b["c"].d` with constant steps is a path; other steps are walked as expressions.
    fn path(&mut self, expr: &ast::Expr, is_safe: bool) {
        let mut steps: Vec<Named> = Vec::new();
        let mut node = expr;
        let root = loop {
            match node {
                ast::Expr::GetAttr(attr) => {
                    let end = attr.span().end_offset as usize;
                    steps.push(Named {
                        name: attr.name.to_string(),
                        range: end.saturating_sub(attr.name.len())..end,
                    });
                    node = &attr.expr;
                }
                ast::Expr::GetItem(item) => match constant(&item.subscript_expr) {
                    Some(name) => {
                        steps.push(Named {
                            name,
                            range: range(item.subscript_expr.span()),
                        });
                        node = &item.expr;
                    }
                    None => {
                        self.expr(&item.subscript_expr, true);
                        steps.clear();
                        node = &item.expr;
                    }
                },
                ast::Expr::Var(var) => {
                    break Named {
                        name: var.id.to_string(),
                        range: range(var.span()),
                    };
                }
                _ => return self.expr(node, is_safe),
            }
        };
        steps.reverse();
        self.field(&root.name, steps.first());
        let whole = root.range.start..range(expr.span()).end;
        match (root.name.as_str(), steps.as_slice()) {
            ("params", [param, ..]) if self.undeclared.contains("params") => {
                let range = root.range.start..param.range.end;
                self.found.params.push(Use {
                    name: param.name.clone(),
                    range,
                    is_safe,
                });
            }
            ("dag_run", [conf, ..]) if conf.name == "conf" => {
                let name = self
                    .text
                    .get(whole.clone())
                    .unwrap_or("dag_run.conf")
                    .to_string();
                self.found.conf.push(Use {
                    name,
                    range: whole,
                    is_safe,
                });
            }
            ("trigger", _) if self.undeclared.contains("trigger") => {
                let name = self.text.get(whole.clone()).unwrap_or("trigger");
                self.found.trigger.push(Use {
                    name: name.to_string(),
                    is_safe: is_safe || steps.first().is_some_and(|step| is_number(&step.name)),
                    range: whole,
                });
            }
            ("tasks", [task, rest @ ..]) if self.undeclared.contains("tasks") => {
                self.found.tasks.push(TaskUse {
                    task: task.clone(),
                    value: task_value(rest),
                });
            }
            ("conn" | "var", _) if self.undeclared.contains(&root.name) => {
                match outside::of_path(&root.name, &steps) {
                    Ok(one) => self.found.outside.push(one),
                    Err(message) => self.found.unchecked.push((whole, message.to_string())),
                }
            }
            _ => self.name(&root.name, root.range, is_safe),
        }
    }

    fn call(&mut self, call: &ast::Call, at: Range<usize>, is_safe: bool) {
        if let ast::Expr::GetAttr(method) = &call.expr {
            let (receiver, start) = match &method.expr {
                ast::Expr::Var(var) => (var.id, range(var.span()).start),
                _ => ("", at.start),
            };
            let at = start..at.end;
            let end = range(method.span()).end;
            let named = Named {
                name: method.name.to_string(),
                range: end.saturating_sub(method.name.len())..end,
            };
            self.field(receiver, Some(&named));
            match (receiver, method.name) {
                ("ti" | "task_instance", "xcom_pull") => {
                    match xcom_pull(call) {
                        Ok(uses) => self.found.tasks.extend(uses),
                        Err(message) => self.found.unchecked.push((at, message.to_string())),
                    }
                    return self.args(&call.args, is_safe);
                }
                ("params", "get") => {
                    if let Some(ast::CallArg::Pos(name)) = call.args.first()
                        && let Some(name) = constant(name)
                    {
                        self.found.params.push(Use {
                            name,
                            range: at,
                            is_safe,
                        });
                        return self.args(&call.args, is_safe);
                    }
                }
                _ => {}
            }
            if let Some(one) = variable_get(call, method) {
                self.found.outside.push(one);
                return self.args(&call.args, is_safe);
            }
            self.expr(&method.expr, is_safe);
        } else {
            self.expr(&call.expr, is_safe);
        }
        self.args(&call.args, is_safe);
    }

    /// The first step of a path, or the method that is called.
    fn field(&mut self, root: &str, field: Option<&Named>) {
        let is_ours = self.undeclared.contains(root) && NAMES.contains(&root);
        let absent = field.and_then(|field| fields::check(root, field));
        self.found.absent.extend(absent.filter(|_| is_ours));
    }
}
