//! Conditions and typed values: CEL, compiled once and evaluated over borrowed JSON.
//!
//! The grammar and its macros are those of the `cel` crate; what comes of its parser is compiled to terms of our own, so that an
//! evaluation copies nothing, and so that everything it does is paid for from a [`Budget`].
//!
//! Promises that what reads something absent is told apart from what fails, and that every evaluation ends: CEL has no loops,
//! an expression's length and nesting are bounded at load, and its steps and what it makes by the budget.

mod budget;
mod eval;
mod functions;
mod node;
mod scan;
mod stop;
mod value;

pub use budget::{Budget, MOST_BYTES, MOST_STEPS, MOST_STEPS_IN_ALL};
pub use eval::Variables;
pub use functions::FUNCTIONS;

pub(in crate::mapping) use budget::weight;
pub(in crate::mapping) use eval::found;
pub(in crate::mapping) use node::Constant;
pub(in crate::mapping) use stop::Stop;
pub(in crate::mapping) use value::Val;

use super::limits::COMPREHENSIONS;
use ::cel::Env;
use ::cel::common::ast::{Expr as Node, IdedExpr};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// An expression of more brackets is parsed on a stack of its own: the parser's frames are large.
const SHALLOW: usize = 4;
/// The size of that stack, enough for as many brackets as an expression may have.
const STACK: usize = 64 << 20;

static ENV: LazyLock<Env> = LazyLock::new(|| Env::stdlib().with_optional_support(true));

/// A compiled expression; its copies share what was compiled.
#[derive(Debug, Clone)]
pub struct Expr(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: String,
    term: node::Node,
    /// Every path that it reads: `argo.health.status`.
    reads: Vec<Vec<String>>,
}

/// Why a text isn't an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCel {
    /// 1-based line in the expression.
    pub line: usize,
    /// 1-based column in the line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// How an evaluation ended without a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It read something that isn't there.
    #[error("reads `{0}`, which isn't there")]
    Absent(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

impl From<Stop<'_>> for EvalError {
    fn from(stop: Stop<'_>) -> Self {
        match stop {
            Stop::NoPath(path, at) => Self::Absent(path[..=at.min(path.len() - 1)].join(".")),
            Stop::NoMember(name) => Self::Absent(name.to_owned()),
            Stop::NoItem(index) => Self::Absent(format!("[{index}]")),
            Stop::Failed(problem) => Self::Failed(problem),
            Stop::Spent => Self::Failed(format!(
                "takes more than {MOST_STEPS} steps or {MOST_BYTES} bytes, or {MOST_STEPS_IN_ALL} steps with the rules before: narrow what it goes over"
            )),
        }
    }
}

impl Expr {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// [`NotCel`] with the place in `source`.
    pub fn compile(source: &str) -> Result<Self, NotCel> {
        if scan::scan(source)?.brackets <= SHALLOW {
            return Self::parse(source);
        }
        let parsed = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, || Self::parse(source)).map(std::thread::ScopedJoinHandle::join)
        });
        match parsed {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(_)) => Err(fail("the parser gave up on it")),
            Err(error) => Err(fail(format!("there's no thread to parse it in ({error})"))),
        }
    }

    fn parse(source: &str) -> Result<Self, NotCel> {
        let program = ENV.compile(source).map_err(|errors| not_cel(source, &errors))?;
        if nesting(&program.expression().expr) > COMPREHENSIONS {
            return Err(fail(format!("all(), exists(), filter() and map() may be nested {COMPREHENSIONS} deep")));
        }
        let term = node::lower(program.expression()).map_err(fail)?;
        let mut reads = Vec::new();
        gather(program.expression(), &mut Vec::new(), &mut reads);
        reads.sort();
        reads.dedup();
        Ok(Self(Arc::new(Compiled { source: source.to_owned(), term, reads })))
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Every path that it reads, each segment by segment.
    #[must_use]
    pub fn reads(&self) -> &[Vec<String>] {
        &self.0.reads
    }

    /// What must be so that it can hold: paths, each with the values of which it must have one. Where it has another text or
    /// truth value, the expression is false.
    pub(in crate::mapping) fn requires(&self) -> Vec<(Vec<String>, Vec<Constant>)> {
        node::required(&self.0.term)
    }

    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// [`EvalError`], also when its value is no boolean.
    pub fn holds(&self, vars: &dyn Variables) -> Result<bool, EvalError> {
        let own = Budget::default();
        match eval::eval(&self.0.term, vars, vars.budget().unwrap_or(&own))? {
            Val::Bool(flag) => Ok(flag),
            other => {
                Err(EvalError::Failed(format!("a condition must be true or false, and this is a {}", other.kind())))
            }
        }
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// [`EvalError`]
    pub fn value(&self, vars: &dyn Variables) -> Result<Value, EvalError> {
        let own = Budget::default();
        let budget = vars.budget().unwrap_or(&own);
        Ok(eval::eval(&self.0.term, vars, budget)?.to_json(budget)?)
    }
}

/// A sink's filter: a condition over `event`.
#[derive(Debug)]
pub struct Condition(Expr);

/// Why a filter can't be used, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionError(String);

impl Condition {
    /// Compiles a condition that may read `event` alone.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn over_event(source: &str) -> Result<Self, ConditionError> {
        let expr = Expr::compile(source).map_err(|e| {
            ConditionError(format!("{}{}", e.message, e.remedy.map(|r| format!("; {r}")).unwrap_or_default()))
        })?;
        if let Some(other) = expr.reads().iter().find(|path| path.first().is_none_or(|root| root != "event")) {
            return Err(ConditionError(format!("reads `{}`: only `event` is known here", other.join("."))));
        }
        Ok(Self(expr))
    }

    /// Whether it holds for a document; what isn't there makes it false.
    ///
    /// # Errors
    ///
    /// When the evaluation fails otherwise.
    pub fn holds(&self, scope: &dyn Variables) -> Result<bool, ConditionError> {
        match self.0.holds(scope) {
            Ok(holds) => Ok(holds),
            Err(EvalError::Absent(_)) => Ok(false),
            Err(EvalError::Failed(message)) => Err(ConditionError(message)),
        }
    }
}

fn fail(message: impl Into<String>) -> NotCel {
    NotCel { line: 1, column: 1, message: message.into(), remedy: None }
}

/// The parser's word, or what the author of one of Argo's own expressions should have written.
fn not_cel(source: &str, errors: &::cel::ParseErrors) -> NotCel {
    let first = errors.errors.first();
    let place = |n: Option<isize>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1);
    let message = first.map_or_else(|| "it isn't CEL".to_owned(), |error| error.msg.clone());
    NotCel {
        line: place(first.map(|error| error.pos.0)),
        column: place(first.map(|error| error.pos.1)),
        message: format!("this isn't CEL: {message}"),
        remedy: super::argo_expr::in_cel(source).map(|cel| format!("in CEL: {cel}")),
    }
}

/// Every path below `node` that's read, with the root first. Names that a comprehension declares are none.
fn gather(node: &IdedExpr, declared: &mut Vec<String>, reads: &mut Vec<Vec<String>>) {
    if let Some(path) = path_of(node) {
        let a_type = path.len() == 1 && node::type_named(&path[0]).is_some();
        if !declared.contains(&path[0]) && !path[0].starts_with('@') && !a_type {
            reads.push(path);
        }
        return;
    }
    match &node.expr {
        Node::Call(call) => {
            call.target.iter().for_each(|target| gather(target, declared, reads));
            call.args.iter().for_each(|arg| gather(arg, declared, reads));
        }
        Node::Select(select) => gather(&select.operand, declared, reads),
        Node::List(list) => list.elements.iter().for_each(|item| gather(item, declared, reads)),
        Node::Map(map) => map.entries.iter().for_each(|entry| {
            if let ::cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                gather(&entry.key, declared, reads);
                gather(&entry.value, declared, reads);
            }
        }),
        Node::Comprehension(inner) => {
            gather(&inner.iter_range, declared, reads);
            let depth = declared.len();
            declared.push(inner.iter_var.clone());
            declared.extend(inner.iter_var2.clone());
            declared.push(inner.accu_var.clone());
            for part in [&inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result] {
                gather(part, declared, reads);
            }
            declared.truncate(depth);
        }
        _ => {}
    }
}

/// `a.b.c`, also within `has(…)`.
fn path_of(node: &IdedExpr) -> Option<Vec<String>> {
    match &node.expr {
        Node::Ident(name) => Some(vec![name.clone()]),
        Node::Select(select) => {
            let mut path = path_of(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

fn nesting(node: &Node) -> usize {
    let deepest = |nodes: Vec<&IdedExpr>| nodes.into_iter().map(|node| nesting(&node.expr)).max().unwrap_or_default();
    match node {
        Node::Call(call) => deepest(call.target.iter().map(AsRef::as_ref).chain(&call.args).collect()),
        Node::Select(select) => nesting(&select.operand.expr),
        Node::List(list) => deepest(list.elements.iter().collect()),
        Node::Comprehension(inner) => {
            let around = nesting(&inner.iter_range.expr);
            let within = deepest(vec![&inner.loop_step, &inner.loop_cond, &inner.result]);
            around.max(1 + within)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
