//! URL of a PostgreSQL server, which may hold a password.
//!
//! libpq's URLs may name several hosts, which no general URL parser reads, and `sslmode` is this program's to judge.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

/// URL of the server, and what it says about encryption. `Debug` shows no part of the URL.
#[derive(Clone)]
pub struct StoreUrl {
    url: SecretString,
    /// Value of `sslmode`.
    pub sslmode: SslMode,
    /// True if every host is this machine.
    pub is_local: bool,
    /// Hosts, user and database, in the forms in which messages hold them.
    pub places: Vec<String>,
}

/// Value of `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SslMode {
    /// Valid certificate that names the host.
    VerifyFull,
    /// Valid certificate.
    VerifyCa,
    /// No encryption.
    Disable,
}

/// Options that a URL may have beside `sslmode`. Two more are accepted and without effect: the worker always looks for
/// a host that accepts writes, and binds no password to the encryption.
const OPTIONS: [&str; 15] = [
    "user",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
];

const DEFAULT_PORT: u16 = 5432;
const EXPECTED: &str = "a URL such as postgres://user:password@host,host2/db?sslmode=verify-full";
const ADVICE: &str = "percent-encode /, #, ?, @ and % in user, password and database (%2F, %23, %3F, %40, %25)";

impl StoreUrl {
    /// Returns the URL without `sslmode`, with its password.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUrl").field("sslmode", &self.sslmode).finish_non_exhaustive()
    }
}

/// Reads `store.url`; an empty text means none. No part of it is quoted, since any part may be the password.
pub(super) fn store(text: &str) -> Result<Option<StoreUrl>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(|| format!("{EXPECTED}; {ADVICE}"))?;
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = base.split_once('/').unwrap_or((base, ""));
    let ambiguous = authority.matches('@').count() > 1 || path.contains(['@', '/']) || query.contains('@');
    if ambiguous || text.contains('#') || has_lone_percent(text) {
        return Err(format!("{EXPECTED}; {ADVICE}"));
    }
    let mut hosts: Vec<String> = listed(authority.rsplit('@').next().unwrap_or_default(), true)?;
    let (mut sslmode, mut kept) = (SslMode::VerifyFull, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => sslmode = mode(value)?,
            "host" | "hostaddr" => {
                hosts.extend(listed(value, false)?);
                kept.push(pair);
            }
            "password" => return Err(format!("{EXPECTED}; put the password before the @")),
            name if OPTIONS.contains(&name) => kept.push(pair),
            name => {
                return Err(format!(
                    "{EXPECTED}, without the option {name:?}; known are sslmode, {}",
                    OPTIONS.join(", ")
                ));
            }
        }
    }
    if hosts.is_empty() {
        return Err(format!("{EXPECTED}; add the host"));
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let is_local = hosts.iter().all(|host| is_local(host));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user.split(':').next().unwrap_or_default());
    let places = places(&hosts, [user, path]);
    Ok(Some(StoreUrl { url: format!("postgres://{base}{query}").into(), sslmode, is_local, places }))
}

/// Lists the forms in which the server's and the client's messages name hosts, user and database. A name without a dot
/// may be a word of the sentence, so only its quoted form and the one with a port count.
fn places(hosts: &[String], names: [&str; 2]) -> Vec<String> {
    let names = names.into_iter().map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
    let quoted = |name: &String| format!("\"{name}\"");
    let forms = |host: &String| if host.contains(['.', ':', '/']) { host.clone() } else { quoted(host) };
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    let with_port = hosts.iter().map(|host| format!("{host}:{DEFAULT_PORT}"));
    hosts.iter().map(forms).chain(with_port).chain(names.iter().map(quoted)).collect()
}

fn mode(value: &str) -> Result<SslMode, String> {
    match value {
        "verify-full" => Ok(SslMode::VerifyFull),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "disable" => Ok(SslMode::Disable),
        _ => Err(format!("{EXPECTED}; sslmode is verify-full, verify-ca or disable")),
    }
}

/// Reads hosts separated by commas, each with a port where `ports`.
fn listed(text: &str, ports: bool) -> Result<Vec<String>, String> {
    let decoded = |host: &str| percent_decode_str(host).decode_utf8_lossy().into_owned();
    let host = |text: &str| {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
            None if ports => text.split_once(':').map_or((text, ""), |(host, port)| (host, port)),
            None => (text, ""),
        };
        let port = port.trim_start_matches(':');
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(format!("{EXPECTED}; {ADVICE}"));
        }
        Ok(decoded(host))
    };
    text.split(',').filter(|host| !host.is_empty()).map(host).collect()
}

/// Reports whether a host is this machine: a Unix socket's folder, or a loopback address.
fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Reports whether a `%` begins no escape, as in a text that was not percent-encoded.
fn has_lone_percent(text: &str) -> bool {
    let escape = |rest: &str| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    text.split('%').skip(1).any(|rest| !escape(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> StoreUrl {
        store(text).unwrap().unwrap()
    }

    #[test]
    fn sslmode_is_taken_out_of_the_url() {
        let url = read("postgres://u:p%40w@one,two:5433/db?application_name=x&sslmode=verify-ca&connect_timeout=3");
        assert_eq!(url.expose(), "postgres://u:p%40w@one,two:5433/db?application_name=x&connect_timeout=3");
        assert_eq!((url.sslmode, url.is_local), (SslMode::VerifyCa, false));
        let url = read("postgresql://u@[::1]:5433/db?sslmode=disable");
        assert_eq!((url.expose(), url.sslmode, url.is_local), ("postgres://u@[::1]:5433/db", SslMode::Disable, true));
        assert!(store(" ").unwrap().is_none());
    }

    #[test]
    fn hosts_user_and_database_are_known_as_messages_name_them() {
        let url = read("postgres://us%65r:hidden@db,db.example:5433/orders?host=/run/pg");
        let expected = ["\"db\"", "db.example", "/run/pg", "db:5432", "db.example:5432", "/run/pg:5432"];
        assert_eq!(url.places, [&expected[..], &["\"user\"", "\"orders\""]].concat());
    }

    #[test]
    fn only_this_machine_is_local() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1:5432,[::1]", true),
            ("%2Frun%2Fpostgresql", true),
            ("localhost,db", false),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(read(&format!("postgres://u@{host}/db")).is_local, expected, "{host}");
        }
        assert!(read("postgres:///db?host=/tmp/x").is_local);
        assert!(!read("postgres://127.0.0.1/db?hostaddr=10.0.0.1").is_local);
    }

    #[test]
    fn an_ambiguous_url_is_refused_and_no_part_of_it_is_shown() {
        for text in [
            "postgres://u:pa/hidden@host/db",
            "postgres://u:pa#hidden@host/db",
            "postgres://u:pa?hidden@host/db",
            "postgres://u:p@hidden@host/db",
            "postgres://u:100%hidden@host/db",
            "mysql://u:hidden@host/db",
            "postgres://u:hidden@/db",
            "postgres://u@host/db?password=hidden",
            "postgres://u:hidden@host/db?sslmode=require",
            "postgres://u:hidden@host/db?sslcert=x",
        ] {
            let error = store(text).unwrap_err();
            assert!(!error.contains("hidden"), "{text}: {error}");
        }
        assert!(!format!("{:?}", read("postgres://u:hidden@host/db")).contains("hidden"));
    }
}
