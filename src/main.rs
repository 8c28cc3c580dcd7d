//! The executable `handoffd`: parses the command line, calls one function per subcommand.

fn main() -> std::process::ExitCode {
    handoffd::cli::main()
}
