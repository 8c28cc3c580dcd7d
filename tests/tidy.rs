//! handoffd
fn main() {}
