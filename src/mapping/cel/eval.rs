//! Evaluation, over borrowed JSON and within a budget.

use super::budget::Budget;
use super::node::{Binary, Each, Node, What};
use super::stop::Stop;
use super::value::Val;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// What an expression can read.
pub trait Variables {
    /// The value of a name, if there is one.
    ///
    /// # Errors
    ///
    /// Why it can't be had, for a person.
    fn variable(&self, name: &str) -> Result<Option<&Value>, String>;

    /// What the evaluation may cost, together with others; absent: as much as one event.
    fn budget(&self) -> Option<&Budget> {
        None
    }
}

impl Variables for Map<String, Value> {
    fn variable(&self, name: &str) -> Result<Option<&Value>, String> {
        Ok(self.get(name))
    }
}

/// What stands at a path.
pub(in crate::mapping) fn found<'s>(path: &[String], vars: &'s dyn Variables) -> Result<Option<&'s Value>, String> {
    let Some((root, members)) = path.split_first() else { return Ok(None) };
    Ok(members.iter().try_fold(vars.variable(root)?, |value, name| Some(value?.get(name))).flatten())
}

type Result_<'v, T = Val<'v>> = Result<T, Stop<'v>>;

/// What the comprehensions around a term go over, innermost first.
struct Frame<'f, 'v> {
    item: Val<'v>,
    outer: Option<&'f Frame<'f, 'v>>,
}

type Within<'f, 'v> = Option<&'f Frame<'f, 'v>>;

/// Evaluates a term.
pub(super) fn eval<'v>(node: &'v Node, vars: &'v dyn Variables, budget: &Budget) -> Result_<'v> {
    Eval { vars, budget }.node(node, None)
}

struct Eval<'b, 'v> {
    vars: &'v dyn Variables,
    budget: &'b Budget,
}

impl<'v> Eval<'_, 'v> {
    fn node(&self, node: &'v Node, within: Within<'_, 'v>) -> Result_<'v> {
        self.budget.step()?;
        match node {
            Node::Const(value) => Ok(value.into()),
            Node::Path(path) => self.path(path),
            Node::Local(depth) => local(*depth, within),
            Node::Type(name) => Ok(Val::Type(name)),
            Node::Member(of, name) => member(&self.node(of, within)?, name),
            Node::Has(of, name) => self.has(of, name, within),
            Node::Optional(of, index) => self.optional(of, index, within),
            Node::Index(of, index) => self.index(of, index, within),
            Node::Not(of) => Ok(Val::Bool(!self.flag(of, within)?)),
            Node::Negate(of) => negate(&self.node(of, within)?),
            Node::And(terms) => self.all(terms.iter().map(|term| self.flag(term, within)), false),
            Node::Or(terms) => self.all(terms.iter().map(|term| self.flag(term, within)), true),
            Node::If(parts) => {
                let [test, then, otherwise] = parts.as_ref();
                self.node(if self.flag(test, within)? { then } else { otherwise }, within)
            }
            Node::Binary(binary, sides) => {
                let [left, right] = sides.as_ref();
                self.binary(*binary, &self.node(left, within)?, &self.node(right, within)?)
            }
            Node::List(items) => self.list(items, within),
            Node::Map(entries) => self.map(entries, within),
            Node::Each(each) => self.each(each, within),
            Node::Call(function, args) => {
                let args = args.iter().map(|arg| self.node(arg, within)).collect::<Result_<'v, Vec<_>>>()?;
                function.call(args, self.budget)
            }
        }
    }

    fn path(&self, path: &'v [String]) -> Result_<'v> {
        let missing = |at| Stop::NoPath(path, at);
        let Some((root, members)) = path.split_first() else { return Err(missing(0)) };
        let mut value = self.vars.variable(root).map_err(Stop::Failed)?.ok_or_else(|| missing(0))?;
        for (at, name) in members.iter().enumerate() {
            value = value.get(name).ok_or_else(|| missing(at + 1))?;
        }
        Ok(value.into())
    }

    /// What isn't a map can't be asked for a member.
    fn has(&self, of: &'v Node, name: &'v str, within: Within<'_, 'v>) -> Result_<'v> {
        let value = match self.node(of, within)? {
            Val::Optional(None) => return Ok(Val::Bool(false)),
            Val::Optional(Some(inner)) if inner.kind() == "list" => return Ok(Val::Bool(false)),
            Val::Optional(Some(inner)) => inner.as_ref().clone(),
            value => value,
        };
        if value.kind() == "map" { Ok(Val::Bool(value.member(name).is_some())) } else { Err(Stop::NoMember(name)) }
    }

    fn optional(&self, of: &'v Node, index: &'v Node, within: Within<'_, 'v>) -> Result_<'v> {
        let value = match self.node(of, within)? {
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => inner.as_ref().clone(),
            value => value,
        };
        Ok(Val::optional(value.at(&self.node(index, within)?, self.budget)?))
    }

    fn index(&self, of: &'v Node, index: &'v Node, within: Within<'_, 'v>) -> Result_<'v> {
        match self.node(of, within)? {
            Val::Optional(None) => Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => Ok(Val::optional(inner.at(&self.node(index, within)?, self.budget)?)),
            value => {
                let index = self.node(index, within)?;
                value.at(&index, self.budget)?.ok_or_else(|| Stop::NoItem(index.to_string()))
            }
        }
    }

    fn flag(&self, node: &'v Node, within: Within<'_, 'v>) -> Result_<'v, bool> {
        match self.node(node, within)? {
            Val::Bool(flag) => Ok(flag),
            other => Err(Stop::failed(format!("true or false is needed here, and this is a {}", other.kind()))),
        }
    }

    /// `&&` (`decides` is false) and `||` (true): the value that decides does so whatever fails beside it.
    fn all(&self, terms: impl Iterator<Item = Result_<'v, bool>>, decides: bool) -> Result_<'v> {
        let mut failed = None;
        for term in terms {
            match term {
                Ok(flag) if flag == decides => return Ok(Val::Bool(decides)),
                Ok(_) => {}
                Err(Stop::Spent) => return Err(Stop::Spent),
                Err(stop) => failed = Some(stop),
            }
        }
        failed.map_or(Ok(Val::Bool(!decides)), Err)
    }

    fn binary(&self, binary: Binary, left: &Val<'v>, right: &Val<'v>) -> Result_<'v> {
        let ordered = |fits: fn(Ordering) -> bool| match left.order(right) {
            Some(order) => Ok(Val::Bool(fits(order))),
            None => Err(Stop::failed(format!("a {} and a {} have no order", left.kind(), right.kind()))),
        };
        match binary {
            Binary::Equal => Ok(Val::Bool(left.equals(right, self.budget)?)),
            Binary::NotEqual => Ok(Val::Bool(!left.equals(right, self.budget)?)),
            Binary::Less => ordered(Ordering::is_lt),
            Binary::LessOrEqual => ordered(Ordering::is_le),
            Binary::Greater => ordered(Ordering::is_gt),
            Binary::GreaterOrEqual => ordered(Ordering::is_ge),
            Binary::In => Ok(Val::Bool(right.contains(left, self.budget)?)),
            Binary::Add => self.add(left, right),
            _ => arithmetic(binary, left, right),
        }
    }

    fn add(&self, left: &Val<'v>, right: &Val<'v>) -> Result_<'v> {
        if let (Some(start), Some(end)) = (left.as_str(), right.as_str()) {
            return Val::text(&[start, end].concat(), self.budget);
        }
        match (left.items(), right.items()) {
            (Some(start), Some(end)) if left.kind() == "list" && right.kind() == "list" => {
                Val::list(start.chain(end).collect(), self.budget)
            }
            _ => arithmetic(Binary::Add, left, right),
        }
    }

    fn list(&self, items: &'v [(Node, bool)], within: Within<'_, 'v>) -> Result_<'v> {
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            list.extend(unwrapped(self.node(item, within)?, *optional));
        }
        Val::list(list, self.budget)
    }

    fn map(&self, entries: &'v [(Node, Node, bool)], within: Within<'_, 'v>) -> Result_<'v> {
        let mut map: Vec<(Val<'v>, Val<'v>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.node(key, within)?;
            if !key.is_key() {
                return Err(Stop::failed(format!("a {} can't be a key", key.kind())));
            }
            let Some(value) = unwrapped(self.node(value, within)?, *optional) else { continue };
            for (other, _) in &map {
                if other.equals(&key, self.budget)? {
                    return Err(Stop::failed(format!("the key {key} stands there twice")));
                }
            }
            map.push((key, value));
        }
        Ok(Val::Map(map.into()))
    }

    fn each(&self, each: &'v Each, within: Within<'_, 'v>) -> Result_<'v> {
        let range = self.node(&each.range, within)?;
        let Some(items) = range.items() else {
            return Err(Stop::failed(format!("a list or a map is needed here, and this is a {}", range.kind())));
        };
        let frames = items.map(|item| Frame { item, outer: within });
        match &each.what {
            What::All(test) => self.all(frames.map(|frame| self.flag(test, Some(&frame))), false),
            What::Exists(test) => self.all(frames.map(|frame| self.flag(test, Some(&frame))), true),
            What::ExistsOne(test) => {
                let mut count = 0;
                for frame in frames {
                    count += usize::from(self.flag(test, Some(&frame))?);
                }
                Ok(Val::Bool(count == 1))
            }
            What::Collect { filter, item } => {
                let mut list = Vec::new();
                for frame in frames {
                    if filter.as_ref().map_or(Ok(true), |test| self.flag(test, Some(&frame)))? {
                        list.push(self.node(item, Some(&frame))?);
                    }
                }
                Val::list(list, self.budget)
            }
        }
    }
}

fn local<'v>(depth: usize, within: Within<'_, 'v>) -> Result_<'v> {
    let mut frame = within;
    for _ in 0..depth {
        frame = frame.and_then(|frame| frame.outer);
    }
    frame.map(|frame| frame.item.clone()).ok_or_else(|| Stop::failed("a name outside its macro"))
}

/// A member of an optional is optional.
fn member<'v>(value: &Val<'v>, name: &'v str) -> Result_<'v> {
    match value {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) if inner.items().is_some() => Ok(Val::optional(inner.member(name))),
        value => value.member(name).ok_or(Stop::NoMember(name)),
    }
}

fn unwrapped<'v>(value: Val<'v>, optional: bool) -> Option<Val<'v>> {
    match value {
        Val::Optional(inner) if optional => inner.map(|inner| inner.as_ref().clone()),
        value => Some(value),
    }
}

fn negate<'v>(value: &Val<'v>) -> Result_<'v> {
    match value {
        Val::Int(whole) => whole.checked_neg().map(Val::Int).ok_or_else(|| Stop::failed("the number is too large")),
        Val::Double(float) => Ok(Val::Double(-float)),
        other => Err(Stop::failed(format!("a {} can't be negated", other.kind()))),
    }
}

fn arithmetic<'v>(binary: Binary, left: &Val<'v>, right: &Val<'v>) -> Result_<'v> {
    let calculated = match (left, right) {
        (Val::Int(left), Val::Int(right)) => match binary {
            Binary::Add => left.checked_add(*right),
            Binary::Subtract => left.checked_sub(*right),
            Binary::Multiply => left.checked_mul(*right),
            Binary::Divide => left.checked_div(*right),
            _ => left.checked_rem(*right),
        }
        .map(Val::Int),
        (Val::UInt(left), Val::UInt(right)) => match binary {
            Binary::Add => left.checked_add(*right),
            Binary::Subtract => left.checked_sub(*right),
            Binary::Multiply => left.checked_mul(*right),
            Binary::Divide => left.checked_div(*right),
            _ => left.checked_rem(*right),
        }
        .map(Val::UInt),
        (Val::Double(left), Val::Double(right)) => match binary {
            Binary::Add => Some(Val::Double(left + right)),
            Binary::Subtract => Some(Val::Double(left - right)),
            Binary::Multiply => Some(Val::Double(left * right)),
            Binary::Divide => Some(Val::Double(left / right)),
            _ => None,
        },
        _ => {
            let (left, right) = (left.kind(), right.kind());
            return Err(Stop::failed(format!("a {left} and a {right} can't be calculated with: convert one of them")));
        }
    };
    calculated.ok_or_else(|| Stop::failed("the result is too large, or divided by zero"))
}
