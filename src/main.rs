//! Executable `handoffd`; its commands are in `cli`.

/// Allocator. That of glibc took a fifth of the worker's processor time, and half as much again for each event when
/// 100,000 of them waited: `docs/decisions/2026-11-29-an-allocator-of-its-own.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    handoffd::cli::main()
}
