//! Parses the command line and runs one subcommand.
fn main() {}
