//! The functions that the fuzzer calls, over its seeds and mutations of these, in every test run.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::PathBuf;

fn every_mutation_of_the_seeds(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        seeds += 1;
        run(&seed);
        for at in 0..seed.len() {
            run(&seed[..at]);
            let mut mutant = seed.clone();
            mutant[at] = b"\"{}[]:,%\\\n\xff\0 0"[at % 14];
            run(&mutant);
            mutant.remove(at);
            run(&mutant);
        }
    }
    assert!(seeds > 1);
}

#[test]
fn no_body_panics() {
    every_mutation_of_the_seeds("notification", targets::notification);
}

#[test]
fn no_document_breaks_the_validator_s_promises() {
    every_mutation_of_the_seeds("validator", targets::validator);
}

#[test]
fn no_request_breaks_the_decoder_s_promises() {
    every_mutation_of_the_seeds("cloudevents", targets::cloudevents);
}
