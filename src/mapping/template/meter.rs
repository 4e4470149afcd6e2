//! What rendering costs: templates are compiled with calls that pay for what follows them.
//!
//! The Handlebars library knows no limits. So whatever repeats or copies begins with a call of a helper that no template can name,
//! because its name has a space in it: it takes the steps from what is left of the event's, and ends the rendering when
//! that's nothing.

use crate::mapping::cel::{Budget, weight};
use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
};
use std::cell::Cell;

/// Steps for a text, a value, a helper or a block.
const PART: usize = 10;
/// The helper's name.
const PAY: &str = "pay for";

thread_local! {
    /// What is left of the event's steps. The library gives helpers nothing of ours.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Renders within a budget.
pub(super) fn within<T>(budget: &Budget, render: impl FnOnce() -> T) -> T {
    LEFT.set(budget.left());
    let rendered = render();
    budget.leave(LEFT.get());
    rendered
}

/// Takes steps, or ends the rendering when there aren't as many.
pub(super) fn pay(steps: usize) -> Result<(), RenderError> {
    let left = u32::try_from(steps).ok().and_then(|steps| LEFT.get().checked_sub(steps));
    LEFT.set(left.unwrap_or_default());
    left.map(drop).ok_or_else(|| RenderErrorReason::Other("it takes too many steps".to_owned()).into())
}

/// Takes all that's left.
pub(super) fn spend() {
    LEFT.set(0);
}

/// Pays for itself: so many parts, the values that follow, and what a partial's context is copied from.
struct Pay;

impl HelperDef for Pay {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        let parts = h.param(0).and_then(|count| count.value().as_u64()).unwrap_or_default();
        let read: usize = h.params().iter().skip(1).map(|param| weight(param.value())).sum();
        let copied = rc.block().and_then(|block| block.base_value()).map(weight).unwrap_or_default();
        pay(usize::try_from(parts).unwrap_or(usize::MAX).saturating_add(read).saturating_add(copied))
    }
}

/// Registers the helper.
pub(super) fn register(registry: &mut Handlebars<'_>) {
    registry.register_helper(PAY, Box::new(Pay));
}

/// A template that pays for itself; its root does, too.
pub(super) fn paying(mut template: Template) -> Template {
    inner(&mut template);
    begin(&mut template);
    template
}

fn inner(template: &mut Template) {
    let mut elements = Vec::with_capacity(template.elements.len());
    let mut places = Vec::with_capacity(template.elements.len());
    let before = std::mem::take(&mut template.elements).into_iter().zip(std::mem::take(&mut template.mapping));
    for (mut element, place) in before {
        let mut read = Vec::new();
        compared(&element, &mut read);
        if !read.is_empty()
            && let Some(call) = call(PART, read)
        {
            elements.push(call);
            places.push(place.clone());
        }
        if let TemplateElement::HelperBlock(block) = &mut element {
            block.template.iter_mut().chain(&mut block.inverse).for_each(inner);
            if block.name.as_name() == Some("each") {
                block.template.iter_mut().for_each(begin);
            }
        }
        elements.push(element);
        places.push(place);
    }
    (template.elements, template.mapping) = (elements, places);
}

/// Pays for one time through a template.
fn begin(template: &mut Template) {
    // What is empty repeats all the same.
    let place = Template::compile("x").ok().and_then(|any| any.mapping.into_iter().next());
    if let (Some(call), Some(place)) = (call(PART * (1 + parts(template)), Vec::new()), place) {
        template.elements.insert(0, call);
        template.mapping.insert(0, place);
    }
}

/// How much a template has, that of its partials aside: they pay for themselves.
fn parts(template: &Template) -> usize {
    let of = |element: &TemplateElement| match element {
        TemplateElement::HelperBlock(block) => block.template.iter().chain(&block.inverse).map(parts).sum(),
        _ => 0,
    };
    template.elements.iter().map(|element| 1 + of(element)).sum()
}

/// What helpers of the library look through: their values may be of any size.
fn compared(element: &TemplateElement, read: &mut Vec<Parameter>) {
    let (TemplateElement::Expression(call)
    | TemplateElement::HtmlExpression(call)
    | TemplateElement::HelperBlock(call)) = element
    else {
        return;
    };
    let free = ["if", "unless", "each", "with"].iter().any(|name| call.name.as_name() == Some(name));
    for parameter in call.params.iter().chain(call.hash.values()) {
        match parameter {
            Parameter::Path(_) if !free => read.push(parameter.clone()),
            Parameter::Subexpression(inner) => compared(&inner.element, read),
            _ => {}
        }
    }
}

/// A call of the helper.
fn call(steps: usize, read: Vec<Parameter>) -> Option<TemplateElement> {
    let any = Template::compile("{{x 1}}").ok()?.elements.into_iter().next()?;
    let TemplateElement::Expression(mut call) = any else { return None };
    call.name = Parameter::Name(PAY.to_owned());
    call.params = std::iter::once(Parameter::Literal(steps.into())).chain(read).collect();
    Some(TemplateElement::Expression(call))
}

/// Whether it's such a call.
pub(super) fn pays(call: &HelperTemplate) -> bool {
    call.name.as_name() == Some(PAY)
}
