//! How much a mapping may be: what is larger is refused when it's loaded, with its place.
//!
//! The limits are far above what mappings need, and low enough that loading one ends soon and that no stack overflows. What an
//! event may cost is counted when it's made, see [`super::MOST_STEPS`].

/// Most bytes of a mapping file or a partial: what a ConfigMap holds.
pub const FILE: usize = 1 << 20;
/// Deepest nesting of a mapping file's maps and lists.
pub const YAML_DEPTH: usize = 48;
/// Most values of a mapping file, aliases expanded.
pub const YAML_VALUES: usize = 50_000;
/// Most aliases of a mapping file.
pub const YAML_ALIASES: usize = 1_000;

/// Most rules of a mapping.
pub const RULES: usize = 2_000;
/// Most named values of a mapping.
pub const LETS: usize = 500;
/// Longest row of named values that read each other.
pub const LET_DEPTH: usize = 16;
/// Most values of all events of a mapping, each with its defaults.
pub const VALUES: usize = 50_000;
/// Most bytes of all expressions and templates of a mapping, each with its defaults, aliases expanded.
pub const TEXTS: usize = 2 << 20;
/// Most faults that are told of one file.
pub const FAULTS: usize = 100;

/// Longest expression in bytes.
pub const EXPRESSION: usize = 8 * 1024;
/// Deepest expression: brackets, choices, operators, members and calls, added up.
pub const EXPRESSION_DEPTH: usize = 48;
/// Most brackets of one expression. The parser, mending what is wrong, takes any of them for nested.
pub const BRACKETS: usize = 200;
/// Deepest nesting of comprehensions (`all`, `exists`, `filter`, `map`): each multiplies the time of what it's in.
pub const COMPREHENSIONS: usize = 2;

/// Most templates of a mapping that have more than plain paths, each with its defaults.
pub const TEMPLATES: usize = 2_000;
/// Longest template in bytes.
pub const TEMPLATE: usize = 16 * 1024;
/// Most blocks of one template or partial, each `else` counted.
pub const TEMPLATE_BLOCKS: usize = 64;
/// Most helpers in brackets of one template or partial.
pub const TEMPLATE_HELPERS: usize = 200;
/// Deepest nesting of a template's blocks and partials, and of helpers in helpers.
pub const TEMPLATE_DEPTH: usize = 16;
/// Most texts, values, helpers and blocks of a template, those of its partials included.
pub const TEMPLATE_PARTS: usize = 1_000;
/// Deepest nesting of blocks that repeat.
pub const LOOPS: usize = 2;
