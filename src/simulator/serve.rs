//! Startup and shutdown of the listeners.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::front::{self, Front};
use super::options::{EnvironmentOptions, SimulatorOptions};
use super::wire::{ConnectionControl, ResettableListener};

/// Time granted to connections to end on shutdown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Failure to start the simulator.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// No environment was given.
    #[error("no environment given; specify at least one")]
    Nothing,
    /// Two environments have the same name.
    #[error("two environments are named `{0}`; give each a unique name")]
    SameName(String),
    /// An address could not be bound.
    #[error("environment `{name}` can't listen on {address}: {source}")]
    Listen {
        /// Environment with the address.
        name: String,
        /// Address that could not be bound.
        address: SocketAddr,
        /// Underlying I/O error.
        source: io::Error,
    },
}

/// Running simulator. Dropping it stops it without waiting.
pub struct Running {
    environments: Arc<[Arc<Environment>]>,
    addresses: Vec<SocketAddr>,
    servers: Vec<JoinHandle<()>>,
    stopping: CancellationToken,
}

/// Starts the simulator. All listeners are bound when this returns.
pub async fn serve(options: SimulatorOptions) -> Result<Running, SimulatorError> {
    let stopping = CancellationToken::new();
    let mut listeners = Vec::new();
    let mut environments: Vec<Arc<Environment>> = Vec::new();
    for options in options.environments {
        if environments.iter().any(|environment| environment.name() == options.name) {
            return Err(SimulatorError::SameName(options.name));
        }
        let (listener, address) = listen(&options).await?;
        let urls = urls(address);
        environments.push(Arc::new(Environment::new(options, urls, stopping.child_token())));
        listeners.push((listener, address));
    }
    if environments.is_empty() {
        return Err(SimulatorError::Nothing);
    }
    let environments: Arc<[_]> = environments.into();
    let addresses = listeners.iter().map(|(_, address)| *address).collect();
    let servers = listeners.into_iter().zip(environments.iter()).map(|((listener, _), here)| {
        let front = Front { here: here.clone(), all: environments.clone() };
        tokio::spawn(accept(listener, front, stopping.clone()))
    });
    Ok(Running { servers: servers.collect(), environments, addresses, stopping })
}

impl Running {
    /// Returns the address of the first environment.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Returns the first environment.
    pub fn first(&self) -> &Environment {
        &self.environments[0]
    }

    /// Returns an environment by name.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments().find(|environment| environment.name() == name)
    }

    /// Returns all environments in the order of the options.
    pub fn environments(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().map(AsRef::as_ref)
    }

    /// Stops the simulator: refuses new connections, cuts pauses short and drops hanging requests.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        for server in self.servers.drain(..) {
            let abort = server.abort_handle();
            if tokio::time::timeout(PATIENCE, server).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn listen(options: &EnvironmentOptions) -> Result<(TcpListener, SocketAddr), SimulatorError> {
    let failed = |source| SimulatorError::Listen { name: options.name.clone(), address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Returns the URLs of an address on this machine.
fn urls(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let loopback = [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")];
    let own = (!address.ip().is_unspecified()).then(|| format!("http://{address}"));
    own.into_iter().chain(loopback).collect()
}

async fn accept(listener: TcpListener, front: Front, stopping: CancellationToken) {
    let router = Router::new().fallback(front::receive).with_state(front);
    let service = router.into_make_service_with_connect_info::<ConnectionControl>();
    // Serving never fails; errors of a connection only end that connection.
    let _ = axum::serve(ResettableListener(listener), service).with_graceful_shutdown(stopping.cancelled_owned()).await;
}
