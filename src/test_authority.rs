//! Certificate authority and TLS server for tests.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Root certificate, and a server and a client certificate issued by it.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        std::fs::write(it.file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        it.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=root -days 1 -keyout root.key -out root.pem");
        for one in ["server", "client"] {
            it.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={one} -keyout {one}.key -out {one}.csr"));
            it.openssl(&format!("x509 -req -in {one}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 -extfile names -out {one}.pem"));
        }
        it
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Starts a server that presents the server certificate; `options` are those of `openssl s_server`.
    pub(crate) fn serve(&self, options: &str) -> Server {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("openssl")
            .args(["s_server", "-accept", &port.to_string(), "-cert", "server.pem", "-key", "server.key"])
            .args(options.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ACCEPT"))));
        Server { process: server, port, _output: Box::new(lines) }
    }
}

/// Running server; dropping it stops the process.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    /// Kept open, since the server ends when it writes to a closed pipe.
    _output: Box<dyn Send + Iterator<Item = io::Result<String>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
