//! Conditions and typed values: CEL, compiled once and evaluated over borrowed JSON.
//!
//! Promises that what reads something absent is told apart from what fails, and that no expression runs for ever: CEL has
//! no loops, an expression's length and nesting are bounded at load, and comprehensions by the input's size.

use super::functions;
use super::json::{borrowed, owned};
use ::cel::common::ast::{Expr as Node, IdedExpr};
use ::cel::common::types::CelBool;
use ::cel::common::value::CowVal;
use ::cel::context::VariableResolver;
use ::cel::{Context, Env, ExecutionError, Program};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

/// Longest expression in bytes.
const LONGEST: usize = 8 * 1024;
/// Deepest nesting of comprehensions (`all`, `exists`, `filter`, `map`): each multiplies the time of what it's in.
const COMPREHENSIONS: usize = 2;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::env()));

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {
    source: String,
    program: Program,
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

impl Expr {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// [`NotCel`] with the place in `source`.
    pub fn compile(source: &str) -> Result<Self, NotCel> {
        let fail = |message: String| NotCel { line: 1, column: 1, message, remedy: None };
        if source.len() > LONGEST {
            return Err(fail(format!("an expression is at most {LONGEST} bytes long")));
        }
        let program = ENV.compile(source).map_err(|errors| not_cel(source, &errors))?;
        if nesting(&program.expression().expr) > COMPREHENSIONS {
            return Err(fail(format!("all(), exists(), filter() and map() may be nested {COMPREHENSIONS} deep")));
        }
        let mut reads = Vec::new();
        gather(program.expression(), &mut Vec::new(), &mut reads);
        reads.sort();
        reads.dedup();
        Ok(Self { source: source.to_owned(), program, reads })
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every path that it reads, each segment by segment.
    #[must_use]
    pub fn reads(&self) -> &[Vec<String>] {
        &self.reads
    }

    /// Names of the functions that it calls and that nobody knows.
    #[must_use]
    pub fn unknown_functions(&self) -> Vec<String> {
        let references = self.program.references();
        let called = references.functions().into_iter().map(str::to_owned);
        called.filter(|name| !functions::is_known(name)).collect()
    }

    /// Whether it holds in `scope`.
    ///
    /// # Errors
    ///
    /// [`EvalError`], also when its value is no boolean.
    pub fn holds(&self, scope: &Map<String, Value>) -> Result<bool, EvalError> {
        self.with(scope, |value| match value.downcast_ref::<CelBool>() {
            Some(flag) => Ok(*flag.inner()),
            None => Err(EvalError::Failed(format!(
                "a condition must be true or false, and this is {}",
                owned(value.as_ref())
            ))),
        })
    }

    /// Its value in `scope`.
    ///
    /// # Errors
    ///
    /// [`EvalError`]
    pub fn value(&self, scope: &Map<String, Value>) -> Result<Value, EvalError> {
        self.with(scope, |value| Ok(owned(value.as_ref())))
    }

    fn with<T>(
        &self,
        scope: &Map<String, Value>,
        then: impl FnOnce(&CowVal<'_, '_>) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let scope = Scope(scope);
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&scope);
        match cel::Value::resolve_val(self.program.expression(), &context) {
            Ok(value) => then(&value),
            Err(ExecutionError::NoSuchKey(key)) => Err(EvalError::Absent((*key).clone())),
            Err(ExecutionError::UndeclaredReference(name)) => Err(EvalError::Absent((*name).clone())),
            Err(other) => Err(EvalError::Failed(other.to_string())),
        }
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
    pub fn holds(&self, scope: &Map<String, Value>) -> Result<bool, ConditionError> {
        match self.0.holds(scope) {
            Ok(holds) => Ok(holds),
            Err(EvalError::Absent(_)) => Ok(false),
            Err(EvalError::Failed(message)) => Err(ConditionError(message)),
        }
    }
}

struct Scope<'s>(&'s Map<String, Value>);

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.0.get(variable).map(|value| CowVal::Owned(borrowed(value)))
    }
}

/// The parser's word, or what the author of one of Argo's own expressions should have written.
fn not_cel(source: &str, errors: &cel::ParseErrors) -> NotCel {
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
        if !declared.contains(&path[0]) && !path[0].starts_with('@') {
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
            if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
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
mod tests {
    use super::*;
    use serde_json::json;

    fn scope() -> Map<String, Value> {
        let value = json!({
            "argo": {"health": {"status": "Healthy", "since": "2026-01-05T10:00:00Z"}, "images": [{"tag": "1"}, {"tag": "2"}]},
            "parameters": {"on": true, "n": 3},
        });
        value.as_object().unwrap().clone()
    }

    fn holds(source: &str) -> Result<bool, EvalError> {
        Expr::compile(source).unwrap().holds(&scope())
    }

    #[test]
    fn conditions_read_borrowed_json() {
        for source in [
            "argo.health.status == 'Healthy'",
            "argo.health.status in ['Healthy', 'Suspended'] && parameters.on",
            "has(argo.health) && !has(argo.nothing)",
            "argo.images.exists(i, i.tag == '2')",
            "size(argo.images) == 2 && parameters.n > 2",
            "argo.images[1].tag == '2'",
            "argo.images.map(i, i.tag) == ['1', '2']",
            "argo.?nothing.orValue('x') == 'x'",
            "argo.health.since < '2026-01-05T10:00:01Z'",
            "argo.health == {'status': 'Healthy', 'since': '2026-01-05T10:00:00Z'}",
            "timestamp(argo.health.since) - timestamp('2026-01-05T09:59:00Z') == duration('1m')",
            "argo.health.status.matches('^Health')",
            "true || argo.nothing.at.all",
        ] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
    }

    #[test]
    fn what_is_absent_is_told_apart_from_what_fails() {
        for source in ["argo.nothing.status == 'x'", "memory.incident == 'x'", "argo.images[7].tag == 'x'"] {
            assert!(matches!(holds(source), Err(EvalError::Absent(_))), "{source}");
        }
        for source in ["argo.health.status + 1 == 2", "parameters.n", "timestamp('nonsense') > 0"] {
            assert!(matches!(holds(source), Err(EvalError::Failed(_))), "{source}: {:?}", holds(source));
        }
    }

    #[test]
    fn values_come_out_as_json() {
        let value = |source: &str| Expr::compile(source).unwrap().value(&scope()).unwrap();
        assert_eq!(value("argo.images.map(i, i.tag)"), json!(["1", "2"]));
        assert_eq!(value("{'b': 1, 'a': [true, null]}"), json!({"a": [true, null], "b": 1}));
        assert_eq!(value("argo.health"), scope()["argo"]["health"]);
    }

    #[test]
    fn every_path_that_is_read_is_known_and_local_names_are_not() {
        let expr = Expr::compile("has(memory.a) && argo.images.exists(i, i.tag == parameters.tag)").unwrap();
        let paths: Vec<String> = expr.reads().iter().map(|path| path.join(".")).collect();
        assert_eq!(paths, ["argo.images", "memory.a", "parameters.tag"]);
    }

    #[test]
    fn comprehensions_can_not_be_nested_without_bound() {
        let three = "[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))";
        assert!(Expr::compile(three).unwrap_err().message.contains("nested"));
        assert!(Expr::compile(&format!("'{}' == ''", "x".repeat(LONGEST))).is_err());
    }
}
