//! The program `argocd-cdevents`.

fn main() {}
