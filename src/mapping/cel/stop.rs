//! How an evaluation ends without a value.

/// Why there's no value. It's made often, and seldom told: so it borrows.
#[derive(Debug)]
pub(in crate::mapping) enum Stop<'v> {
    /// A path has nothing at its n-th name.
    NoPath(&'v [String], usize),
    NoMember(&'v str),
    NoItem(String),
    Failed(String),
    /// The budget is used up. Nothing absorbs that.
    Spent,
}

impl Stop<'_> {
    pub(in crate::mapping) fn failed(problem: impl Into<String>) -> Self {
        Self::Failed(problem.into())
    }
}
