//! Mapping files: their shape, compilation with every fault's place, conditions (CEL), templates (Handlebars),
//! parameters, memory.
