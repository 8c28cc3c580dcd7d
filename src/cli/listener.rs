//! Owner of the port that a command sends its token to.
//!
//! While no worker runs, any user of the machine may listen on its port, and would get the token.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Socket that listens, and the user that owns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ListeningSocket {
    address: SocketAddr,
    uid: u32,
}

/// Checks that the socket at an address belongs to root, to this user, or to the owner of the worker's store.
pub(super) fn check(address: SocketAddr, store: &Path) -> Result<()> {
    let Some(sockets) = sockets()? else { return Ok(()) };
    let own = std::fs::metadata("/proc/self").context("can't read /proc/self")?.uid();
    let worker = std::fs::metadata(store).map(|store| store.uid()).ok();
    let trusted: Vec<u32> = [Some(0), Some(own), worker].into_iter().flatten().collect();
    match owner(&sockets, address) {
        Some(uid) if trusted.contains(&uid) => Ok(()),
        Some(uid) => bail!(
            "not sending http.token to {address}: user {uid} listens there, which is neither root nor this user nor the \
             owner of {}; find out which process it is (`ss -ltnp`)",
            store.display()
        ),
        None => bail!(
            "not sending http.token to {address}: no process of this machine listens there; run the command where the \
             worker runs"
        ),
    }
}

/// Returns the owner of the socket that gets connections to an address: one bound to it, else one bound to all.
fn owner(sockets: &[ListeningSocket], address: SocketAddr) -> Option<u32> {
    let of_port = || sockets.iter().filter(|socket| socket.address.port() == address.port());
    let ip = |socket: &&ListeningSocket| socket.address.ip().to_canonical();
    let exact = of_port().find(|socket| ip(socket) == address.ip());
    let family =
        |socket: &&ListeningSocket| ip(socket).is_unspecified() && socket.address.is_ipv4() == address.is_ipv4();
    let any = || of_port().find(family).or_else(|| of_port().find(|socket| ip(socket).is_unspecified()));
    exact.or_else(any).map(|socket| socket.uid)
}

/// Lists the sockets that listen; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn sockets() -> Result<Option<Vec<ListeningSocket>>> {
    let tables = [procfs::net::tcp().context("can't read /proc/net/tcp")?, procfs::net::tcp6().unwrap_or_default()];
    let listening = tables.into_iter().flatten().filter(|entry| entry.state == procfs::net::TcpState::Listen);
    Ok(Some(listening.map(|entry| ListeningSocket { address: entry.local_address, uid: entry.uid }).collect()))
}

/// Lists the sockets that listen; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
fn sockets() -> Result<Option<Vec<ListeningSocket>>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_most_specific_socket_gets_the_connection() {
        let socket = |address: &str, uid| ListeningSocket { address: address.parse().unwrap(), uid };
        let all =
            [socket("0.0.0.0:1", 1), socket("127.0.0.1:1", 2), socket("[::]:2", 3), socket("[::ffff:10.0.0.1]:1", 4)];
        for (address, uid) in [
            ("127.0.0.1:1", Some(2)),
            ("192.0.2.1:1", Some(1)),
            ("10.0.0.1:1", Some(4)),
            ("127.0.0.1:2", Some(3)),
            ("[::1]:2", Some(3)),
            ("127.0.0.1:3", None),
        ] {
            assert_eq!(owner(&all, address.parse().unwrap()), uid, "{address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_own_listener_is_trusted_and_none_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        check(address, Path::new("/nowhere")).unwrap();
        drop(listener);
        let refused = check(address, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(refused.contains("no process of this machine listens"), "{refused}");
    }
}
