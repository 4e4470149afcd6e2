//! Values of an event: literals, templates and typed values, in maps and lists.

use super::cel::{EvalError, Expr, Variables};
use super::template::{Library, Template};
use serde_json::{Map, Value};

/// A value to be rendered.
#[derive(Debug)]
pub(crate) enum Tree {
    Literal(Value),
    Template(Template),
    Typed(Expr),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// Why a value can't be rendered.
#[derive(Debug)]
pub(crate) struct Unrendered {
    /// JSON pointer into the value.
    pub(crate) path: String,
    pub(crate) problem: String,
}

impl Tree {
    /// The value, or nothing where it comes out empty. Maps lose members that come out empty, and are nothing when all do; so
    /// do lists, whose entries are left out whole when something that they refer to (`target`, `from`) comes out empty.
    pub(crate) fn render(
        &self,
        library: &Library,
        scope: &dyn Variables,
        empty: &mut Vec<String>,
    ) -> Result<Option<Value>, Unrendered> {
        let mut renderer = Renderer { library, scope, path: String::new(), empty };
        renderer.value(self)
    }
}

struct Renderer<'r> {
    library: &'r Library,
    scope: &'r dyn Variables,
    path: String,
    empty: &'r mut Vec<String>,
}

impl Renderer<'_> {
    fn value(&mut self, tree: &Tree) -> Result<Option<Value>, Unrendered> {
        let value = match tree {
            Tree::Literal(value) => Some(value.clone()),
            Tree::Template(template) => {
                let text = self.library.render(template, self.scope).map_err(|problem| self.failed(problem))?;
                Some(Value::String(text))
            }
            Tree::Typed(expr) => self.typed(expr)?,
            Tree::List(items) => self.list(items)?,
            Tree::Map(entries) => self.map(entries)?,
        };
        let value = value.filter(|value| !value.is_null() && value != "");
        if value.is_none() {
            self.empty.push(self.path.clone());
        }
        Ok(value)
    }

    fn typed(&self, expr: &Expr) -> Result<Option<Value>, Unrendered> {
        match expr.value(self.scope) {
            Ok(value) => Ok(Some(value)),
            Err(EvalError::Absent(_)) => Ok(None),
            Err(EvalError::Failed(problem)) => Err(self.failed(problem)),
        }
    }

    fn list(&mut self, items: &[Tree]) -> Result<Option<Value>, Unrendered> {
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(value) = self.below(&index.to_string(), item)?
                && refers(item, &value)
            {
                list.push(value);
            }
        }
        Ok((!list.is_empty() || items.is_empty()).then_some(Value::Array(list)))
    }

    fn map(&mut self, entries: &[(String, Tree)]) -> Result<Option<Value>, Unrendered> {
        let mut map = Map::with_capacity(entries.len());
        for (name, tree) in entries {
            if let Some(value) = self.below(name, tree)? {
                map.insert(name.clone(), value);
            }
        }
        Ok((!map.is_empty() || entries.is_empty()).then_some(Value::Object(map)))
    }

    fn below(&mut self, name: &str, tree: &Tree) -> Result<Option<Value>, Unrendered> {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        let value = self.value(tree);
        self.path.truncate(length);
        value
    }

    fn failed(&self, problem: String) -> Unrendered {
        Unrendered { path: self.path.clone(), problem }
    }
}

/// Whether what an entry is written to refer to is there.
fn refers(tree: &Tree, value: &Value) -> bool {
    let Tree::Map(entries) = tree else { return true };
    let mut references = entries.iter().filter(|(name, _)| ["target", "from"].contains(&name.as_str()));
    references.all(|(name, _)| value.get(name).is_some())
}
