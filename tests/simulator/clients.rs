//! Client libraries from third parties, run against the simulator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dynamics_simulator::Profile;

use crate::client::Client;

/// Limits in seconds. Installation takes 15 s on a fast network.
const INSTALLING: u32 = 600;
const CHECKING: u32 = 120;

#[tokio::test]
async fn public_client_libraries_accept_the_simulator() {
    let client = Client::start(Profile::OpenCx).await;
    let (settings, url) = (client.environment().settings(), client.environment().url());
    let checked = tokio::task::spawn_blocking(move || {
        let mut check = limited(CHECKING, &python());
        check.arg(folder().join("check.py")).arg(url);
        check.args([&settings.tenant_id, &settings.client_id, &settings.client_secrets[0]]);
        check.env_remove("http_proxy").env_remove("https_proxy").env("PYTHONDONTWRITEBYTECODE", "1");
        run(check, "the client libraries reject the simulator")
    });
    let text = checked.await.expect("the check finishes");
    assert!(text.contains("both clients passed"), "{text}");
    assert!(client.environment().count("incidents.create") >= 3, "the clients created incidents");
    client.running.stop().await;
}

/// Returns a Python with the pinned libraries, installed once and kept under `target/`.
fn python() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let (python, installed) = (place.join("bin/python"), place.join("installed.txt"));
    let requirements = folder().join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).expect("tests/clients/requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    let mut venv = limited(INSTALLING, Path::new("python3"));
    venv.args(["-m", "venv", "--clear"]).arg(&place);
    run(venv, "python3 with its venv module is needed (Debian: python3-venv)");
    let mut pip = limited(INSTALLING, &python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    run(pip, "pip could not install tests/clients/requirements.txt");
    std::fs::write(&installed, wanted).expect("target/ is writable");
    python
}

/// Returns a command that is killed after this many seconds.
fn limited(seconds: u32, program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).arg(program).stdin(Stdio::null());
    command
}

/// Runs a command and returns its output, which is also part of the panic on failure.
fn run(mut command: Command, problem: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{problem}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{problem} ({})\n{text}", output.status);
    text
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}
