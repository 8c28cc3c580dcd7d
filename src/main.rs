//! Executable `handoffd`; its commands are in `cli`.

/// Allocator of release builds; `.cargo/config.toml` has its settings.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    handoffd::cli::main()
}
