//! Executable `handoffd`: parses the command line and calls one function per subcommand.

fn main() -> std::process::ExitCode {
    handoffd::cli::main()
}
