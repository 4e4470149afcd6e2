//! What the program says of CDEvents, against the official schemas, other readers and documents of our own.

mod mutants;
mod official;
mod own;
mod reference;
mod second_reader;
mod spec;
