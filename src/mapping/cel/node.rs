//! From the parser's tree to one that is quick to evaluate: paths in one piece, constants folded, operators and functions
//! resolved, macros as what they are.

use super::functions::Function;
use cel::common::ast::operators as op;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr as Ast, IdedExpr, LiteralValue};
use serde_json::{Map, Value};

/// A term.
#[derive(Debug)]
pub(super) enum Node {
    Const(Value),
    /// `a.b.c`: a variable, and members below it.
    Path(Vec<String>),
    /// What the comprehension so many levels outside goes over.
    Local(usize),
    Type(&'static str),
    Member(Box<Node>, String),
    Has(Box<Node>, String),
    /// `a.?b`, `a[?b]`
    Optional(Box<Node>, Box<Node>),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Binary(Binary, Box<[Node; 2]>),
    /// Items, and whether each is left out when it's an optional without value.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Each(Box<Each>),
    Call(Function, Vec<Node>),
}

/// An operator of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// A macro over a list, or the keys of a map.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) range: Node,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map` and `filter`: which items, and what becomes of them.
    Collect {
        filter: Option<Node>,
        item: Node,
    },
}

/// A value by which rules are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::mapping) enum Constant {
    Text(String),
    Flag(bool),
}

impl Constant {
    pub(in crate::mapping) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Bool(flag) => Some(Self::Flag(*flag)),
            _ => None,
        }
    }
}

/// What must be so that a term can hold.
pub(super) fn required(node: &Node) -> Vec<(Vec<String>, Vec<Constant>)> {
    if let Node::And(terms) = node {
        return terms.iter().filter_map(requirement).collect();
    }
    requirement(node).into_iter().collect()
}

fn requirement(node: &Node) -> Option<(Vec<String>, Vec<Constant>)> {
    let (path, values) = match node {
        Node::Path(path) => (path, vec![Constant::Flag(true)]),
        Node::Not(of) => match of.as_ref() {
            Node::Path(path) => (path, vec![Constant::Flag(false)]),
            _ => return None,
        },
        Node::Binary(Binary::Equal, sides) => match sides.as_ref() {
            [Node::Path(path), Node::Const(value)] | [Node::Const(value), Node::Path(path)] => {
                (path, vec![Constant::of(value)?])
            }
            _ => return None,
        },
        Node::Binary(Binary::In, sides) => match sides.as_ref() {
            [Node::Path(path), Node::Const(Value::Array(values))] => {
                (path, values.iter().map(Constant::of).collect::<Option<_>>()?)
            }
            _ => return None,
        },
        _ => return None,
    };
    Some((path.clone(), values))
}

const TYPES: [&str; 10] =
    ["bool", "int", "uint", "double", "string", "list", "map", "null_type", "type", "optional_type"];

/// Translates an expression, or says what in it isn't part of this language.
pub(super) fn lower(ast: &IdedExpr) -> Result<Node, String> {
    Lower { locals: Vec::new() }.node(ast)
}

/// The name of a type, as a term.
pub(super) fn type_named(name: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|known| *known == name)
}

struct Lower<'a> {
    locals: Vec<&'a str>,
}

impl<'a> Lower<'a> {
    fn node(&mut self, ast: &'a IdedExpr) -> Result<Node, String> {
        match &ast.expr {
            Ast::Literal(literal) => constant(literal).map(Node::Const),
            Ast::Ident(name) => Ok(self.name(name)),
            Ast::Select(select) => {
                let operand = self.node(&select.operand)?;
                Ok(match operand {
                    _ if select.test => Node::Has(Box::new(operand), select.field.clone()),
                    Node::Path(mut path) => {
                        path.push(select.field.clone());
                        Node::Path(path)
                    }
                    other => Node::Member(Box::new(other), select.field.clone()),
                })
            }
            Ast::List(list) => {
                let item = |(index, item): (usize, &'a IdedExpr)| {
                    Ok((self.node(item)?, list.optional_indices.contains(&index)))
                };
                Ok(folded_list(list.elements.iter().enumerate().map(item).collect::<Result<_, String>>()?))
            }
            Ast::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err("messages aren't supported".into());
                    };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
                }
                Ok(folded_map(entries))
            }
            Ast::Comprehension(inner) => self.comprehension(inner),
            Ast::Call(call) => match &call.target {
                None => self.call(&call.func_name, None, &call.args),
                Some(target) => match namespaced(target, &call.func_name) {
                    Some(name) => self.call(name, None, &call.args),
                    None => self.call(&call.func_name, Some(target), &call.args),
                },
            },
            Ast::Struct(_) | Ast::Unspecified => Err("messages aren't supported".into()),
        }
    }

    fn name(&self, name: &'a str) -> Node {
        if let Some(depth) = self.locals.iter().rev().position(|local| *local == name) {
            return Node::Local(depth);
        }
        type_named(name).map_or_else(|| Node::Path(vec![name.to_owned()]), Node::Type)
    }

    fn call(&mut self, name: &str, target: Option<&'a IdedExpr>, args: &'a [IdedExpr]) -> Result<Node, String> {
        let mut nodes = target.into_iter().chain(args).map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
        if let (None, [_, _]) = (target, nodes.as_slice())
            && let Some(binary) = binary(name)
            && let (Some(right), Some(left)) = (nodes.pop(), nodes.pop())
        {
            return Ok(Node::Binary(binary, Box::new([left, right])));
        }
        let count = nodes.len();
        let mut nodes = nodes.into_iter();
        Ok(match (name, nodes.next(), nodes.next(), nodes.next()) {
            (op::CONDITIONAL, Some(test), Some(then), Some(otherwise)) => Node::If(Box::new([test, then, otherwise])),
            (op::LOGICAL_AND, Some(left), Some(right), None) => Node::And(chain(left, right, and)),
            (op::LOGICAL_OR, Some(left), Some(right), None) => Node::Or(chain(left, right, or)),
            (op::LOGICAL_NOT, Some(of), None, None) => Node::Not(Box::new(of)),
            (op::NEGATE, Some(of), None, None) => Node::Negate(Box::new(of)),
            (op::INDEX, Some(of), Some(index), None) => Node::Index(Box::new(of), Box::new(index)),
            (op::OPT_INDEX | op::OPT_SELECT, Some(of), Some(index), None) => {
                Node::Optional(Box::new(of), Box::new(index))
            }
            (_, first, second, third) => {
                let args: Vec<_> = first.into_iter().chain(second).chain(third).chain(nodes).collect();
                Node::Call(Function::find(name, target.is_some(), count, args.get(1).and_then(literal))?, args)
            }
        })
    }

    /// The macros, by what the parser makes of them.
    fn comprehension(&mut self, inner: &'a ComprehensionExpr) -> Result<Node, String> {
        let range = self.node(&inner.iter_range)?;
        if inner.iter_var2.is_some() {
            return Err("macros with two names aren't supported".into());
        }
        self.locals.push(&inner.iter_var);
        let what = self.what(inner);
        self.locals.pop();
        Ok(Node::Each(Box::new(Each { range, what: what? })))
    }

    fn what(&mut self, inner: &'a ComprehensionExpr) -> Result<What, String> {
        let unknown = || "this macro isn't supported: use all(), exists(), exists_one(), filter() or map()".to_owned();
        let Ast::Call(step) = &inner.loop_step.expr else { return Err(unknown()) };
        let is_accumulator = |ast: &IdedExpr| matches!(&ast.expr, Ast::Ident(name) if *name == inner.accu_var);
        let added = |ast: &'a IdedExpr| match &ast.expr {
            Ast::Call(add) if add.func_name == op::ADD => match add.args.as_slice() {
                [accumulator, with] if is_accumulator(accumulator) => Some(with),
                _ => None,
            },
            _ => None,
        };
        let only = |ast: &'a IdedExpr| match &ast.expr {
            Ast::List(list) => list.elements.first(),
            _ => None,
        };
        match (step.func_name.as_str(), step.args.as_slice()) {
            (op::LOGICAL_AND, [accumulator, test]) if is_accumulator(accumulator) => Ok(What::All(self.node(test)?)),
            (op::LOGICAL_OR, [accumulator, test]) if is_accumulator(accumulator) => Ok(What::Exists(self.node(test)?)),
            (op::ADD, _) => {
                let item = added(&inner.loop_step).and_then(only).ok_or_else(unknown)?;
                Ok(What::Collect { filter: None, item: self.node(item)? })
            }
            (op::CONDITIONAL, [test, then, _]) => {
                let with = added(then).ok_or_else(unknown)?;
                let test = self.node(test)?;
                match only(with) {
                    Some(item) => Ok(What::Collect { filter: Some(test), item: self.node(item)? }),
                    None => Ok(What::ExistsOne(test)),
                }
            }
            _ => Err(unknown()),
        }
    }
}

fn constant(literal: &LiteralValue) -> Result<Value, String> {
    Ok(match literal {
        LiteralValue::Boolean(flag) => (*flag.inner()).into(),
        LiteralValue::Double(float) => (*float.inner()).into(),
        LiteralValue::Int(whole) => (*whole.inner()).into(),
        LiteralValue::UInt(whole) => (*whole.inner()).into(),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => text.inner().into(),
        LiteralValue::Bytes(_) => return Err("bytes aren't supported: write text".into()),
    })
}

fn literal(node: &Node) -> Option<&str> {
    match node {
        Node::Const(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        op::EQUALS => Binary::Equal,
        op::NOT_EQUALS => Binary::NotEqual,
        op::LESS => Binary::Less,
        op::LESS_EQUALS => Binary::LessOrEqual,
        op::GREATER => Binary::Greater,
        op::GREATER_EQUALS => Binary::GreaterOrEqual,
        op::IN => Binary::In,
        op::ADD => Binary::Add,
        op::SUBSTRACT => Binary::Subtract,
        op::MULTIPLY => Binary::Multiply,
        op::DIVIDE => Binary::Divide,
        op::MODULO => Binary::Modulo,
        _ => return None,
    })
}

/// `a && (b && c)` and `(a && b) && c` are `a && b && c`.
fn chain(left: Node, right: Node, same: fn(Node) -> Result<Vec<Node>, Node>) -> Vec<Node> {
    let mut terms = same(left).unwrap_or_else(|one| vec![one]);
    match same(right) {
        Ok(more) => terms.extend(more),
        Err(one) => terms.push(one),
    }
    terms
}

fn and(node: Node) -> Result<Vec<Node>, Node> {
    if let Node::And(terms) = node { Ok(terms) } else { Err(node) }
}

fn or(node: Node) -> Result<Vec<Node>, Node> {
    if let Node::Or(terms) = node { Ok(terms) } else { Err(node) }
}

/// `optional.of` and its like.
fn namespaced(target: &IdedExpr, name: &str) -> Option<&'static str> {
    let optional = matches!(&target.expr, Ast::Ident(root) if root == "optional");
    let known = [("of", "optional.of"), ("none", "optional.none"), ("ofNonZeroValue", "optional.ofNonZeroValue")];
    known.into_iter().find(|(short, _)| optional && *short == name).map(|(_, whole)| whole)
}

fn folded_list(items: Vec<(Node, bool)>) -> Node {
    let constants = items.iter().map(|(item, optional)| match item {
        Node::Const(value) if !optional => Some(value.clone()),
        _ => None,
    });
    match constants.collect::<Option<Vec<_>>>() {
        Some(values) => Node::Const(Value::Array(values)),
        None => Node::List(items),
    }
}

fn folded_map(entries: Vec<(Node, Node, bool)>) -> Node {
    let constants = entries.iter().map(|entry| match entry {
        (Node::Const(Value::String(key)), Node::Const(value), false) => Some((key.clone(), value.clone())),
        _ => None,
    });
    match constants.collect::<Option<Map<_, _>>>() {
        Some(mut map) if map.len() == entries.len() => {
            map.sort_keys();
            Node::Const(Value::Object(map))
        }
        _ => Node::Map(entries),
    }
}
