//! Checks between keys: values that are valid alone but not together.

use secrecy::{ExposeSecret, SecretString};

use super::fault::{ConfigFault, ConfigFaults};
use super::model::{Config, KEYS, StoreKind};
use super::reader::quoted;
use super::setting::{Layers, Setting};
use super::store_url::SslMode;
use super::url;

/// Fewest characters of a token that is sent beyond this machine.
pub(super) const SHORTEST_TOKEN: usize = 16;

/// Checks a configuration and records the faults. A value with a fault of its own has been replaced by its default.
pub(super) fn check(config: &mut Config, layers: &Layers, faults: &mut ConfigFaults) {
    let mut checks = Checks { layers, faults };
    check_authority(config, &mut checks);
    check_names(config, &mut checks);
    check_client_pair(config, &mut checks);
    check_store_url(config, &mut checks);
    check_tokens(config, &mut checks);
}

struct Checks<'a> {
    layers: &'a Layers,
    faults: &'a mut ConfigFaults,
}

impl Checks<'_> {
    /// Records a fault of a value that was set, such as that of `broker.queue`.
    fn fault(&mut self, path: &str, expected: impl Into<String>) {
        self.conflict(path, path, expected);
    }

    /// Records a fault of a value that contradicts the value of the key `other`. Its place is that of the other value if
    /// it is a default itself: the defaults contradict each other nowhere, so one of the two was set.
    fn conflict(&mut self, path: &str, other: &str, expected: impl Into<String>) {
        let setting = self.setting(path);
        let Some(Setting { place, .. }) = setting.or_else(|| self.setting(other)) else { return };
        let secret = KEYS.iter().any(|key| key.kind.is_secret() && format!("{}.{}", key.section, key.name) == path);
        let found = setting.filter(|_| !secret).map(|setting| quoted(&setting.value));
        self.faults.push(ConfigFault::new(place.clone(), path, found, expected));
    }

    fn setting(&self, path: &str) -> Option<&Setting> {
        let (section, name) = path.split_once('.')?;
        self.layers.get(section)?.get(name)
    }

    fn is_faulty(&self, path: &str) -> bool {
        self.faults.0.iter().any(|fault| fault.key == path)
    }
}

/// Checks the address that receives client secrets, and removes its trailing slash.
fn check_authority(config: &mut Config, checks: &mut Checks<'_>) {
    match url::authority(&config.dynamics.authority, config.dynamics.trust()) {
        Ok(authority) => config.dynamics.authority = authority,
        Err(expected) => checks.fault("dynamics.authority", expected),
    }
}

/// Checks that names are distinct. A retry queue sends its messages to the inbox, so it must be neither the inbox nor
/// the dead-letter queue. Organization ids are arbitrary, so no other queue may have a name that could be an
/// organization's.
fn check_names(config: &Config, checks: &mut Checks<'_>) {
    let broker = &config.broker;
    if broker.queue == broker.dead_letter_queue {
        let expected = "a queue other than broker.queue, to which dead letters would return as events";
        checks.conflict("broker.dead_letter_queue", "broker.queue", expected);
    }
    if broker.events_exchange == broker.outcomes_exchange {
        let expected = "an exchange other than broker.events_exchange";
        checks.conflict("broker.outcomes_exchange", "broker.events_exchange", expected);
    }
    let operators = format!("{}.operator", broker.dead_letter_queue);
    let [inbox, dead_letters] = ["broker.queue", "broker.dead_letter_queue"];
    let mut others = vec![
        (broker.queue.clone(), inbox),
        (broker.dead_letter_queue.clone(), dead_letters),
        (operators, dead_letters),
    ];
    for delay in &config.retry.delays {
        let queue = format!("{}.{}", broker.retry_queue_prefix, delay.text);
        if let Some((_, other)) = others[..2].iter().find(|(name, _)| *name == queue) {
            let expected = format!("another prefix, because queue {queue} is already in use ({other})");
            checks.conflict("broker.retry_queue_prefix", other, expected);
        }
        others.push((queue, "broker.retry_queue_prefix"));
    }
    let organizations = format!("{}.", broker.organization_queue_prefix);
    if let Some((queue, other)) = others.iter().find(|(queue, _)| queue.starts_with(&organizations)) {
        let expected = format!("another prefix, because queue {queue} could belong to an organization");
        checks.conflict("broker.organization_queue_prefix", other, expected);
    }
}

/// Checks that a client certificate and its key are set together.
fn check_client_pair(config: &Config, checks: &mut Checks<'_>) {
    let pair = ["broker.client_certificate", "broker.client_key"];
    let set = [&config.broker.client_certificate, &config.broker.client_key].map(Option::is_some);
    if pair.iter().any(|path| checks.is_faulty(path)) {
        return;
    }
    match set {
        [true, false] => {
            checks.fault(pair[0], "broker.client_key to be set as well, to the private key of this certificate");
        }
        [false, true] => {
            checks.fault(pair[1], "broker.client_certificate to be set as well, to the certificate of this key");
        }
        _ => {}
    }
}

/// Checks that PostgreSQL has an address, and that its password and the outcomes are encrypted on their way.
fn check_store_url(config: &Config, checks: &mut Checks<'_>) {
    let store = &config.store;
    if store.kind != StoreKind::Postgres || checks.is_faulty("store.url") {
        return;
    }
    match &store.url {
        None => {
            let expected = "a URL such as postgres://user:password@host/db, because store.kind is \"postgres\"";
            checks.conflict("store.url", "store.kind", expected);
        }
        Some(url)
            if url.sslmode == SslMode::Disable
                && !url.is_local
                && config.dynamics.trust() == url::HostTrust::Microsoft =>
        {
            checks.fault(
                "store.url",
                "sslmode=verify-full or sslmode=verify-ca; sslmode=disable is only allowed on loopback, on a Unix socket, \
                 or with dynamics.allow_insecure = true",
            );
        }
        Some(_) => {}
    }
}

/// Checks that tokens differ, and that they can't be guessed by those who reach the HTTP interface.
fn check_tokens(config: &Config, checks: &mut Checks<'_>) {
    let http = &config.http;
    let [token, reader] =
        [&http.token, &http.reader_token].map(|token| token.as_ref().map(SecretString::expose_secret));
    if token.is_some() && token == reader {
        checks.fault("http.reader_token", "a token other than http.token, which may change everything");
    }
    if http.is_local() {
        return;
    }
    if token.is_none() && !checks.is_faulty("http.token") {
        let expected = format!(
            "a loopback address such as \"127.0.0.1:9464\"; listen on loopback or set http.token ({SHORTEST_TOKEN} \
             characters or more), or else anyone could read outcomes and replay events"
        );
        checks.fault("http.listen", expected);
    }
    for (path, token) in [("http.token", token), ("http.reader_token", reader)] {
        if token.is_some_and(|token| token.len() < SHORTEST_TOKEN) {
            let expected = format!(
                "{SHORTEST_TOKEN} characters or more, because http.listen is no loopback address; create one with \
                 `openssl rand -hex 16`, or listen on 127.0.0.1"
            );
            checks.fault(path, expected);
        }
    }
}
