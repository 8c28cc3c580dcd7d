//! Executable `handoffd`; its commands are in `cli`.

fn main() -> std::process::ExitCode {
    handoffd::cli::main()
}
