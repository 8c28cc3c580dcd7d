//! Settings that are legal but insecure: for trying out, or by mistake.

use std::fmt;

use super::model::Config;

/// Insecure setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Insecurity {
    /// Key, such as `http.token`.
    pub setting: String,
    /// Consequence of its value.
    pub problem: String,
    /// Next action.
    pub advice: String,
}

impl fmt::Display for Insecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.setting, self.problem, self.advice)
    }
}

/// Lists the insecure settings.
pub fn insecurities(config: &Config) -> Vec<Insecurity> {
    let mut found = Vec::new();
    let mut add = |insecure: bool, setting: &str, problem: String, advice: &str| {
        if insecure {
            found.push(Insecurity { setting: setting.to_owned(), problem, advice: advice.to_owned() });
        }
    };
    add(
        config.dynamics.allow_insecure,
        "dynamics.allow_insecure",
        "client secrets and customers' data are sent to any configured address, also without TLS".to_owned(),
        "set it to false unless Dynamics is the simulator",
    );
    for url in config.broker.url.iter().filter(|url| url.is_remote()) {
        add(
            !url.has_tls(),
            "broker.url",
            format!("password and customers' texts travel in clear to {}", url.masked()),
            "use amqps://",
        );
        add(
            url.is_guest(),
            "broker.url",
            format!("RabbitMQ's default user is used at {}", url.masked()),
            "create a user of its own for the worker (docs/SECURITY.md)",
        );
    }
    add(
        !config.http.is_local(),
        "http.listen",
        format!("tokens and answers travel in clear to {}", config.http.listen),
        "listen on 127.0.0.1 behind a proxy with TLS",
    );
    add(
        config.http.token.is_none(),
        "http.token",
        "every user of this machine may read outcomes, replay and discard events".to_owned(),
        "set it to the output of `openssl rand -hex 16`",
    );
    for file in &config.exposed_files {
        let path = file.path.display();
        let advice = format!("take the rights of others away: chmod o= {path}");
        add(true, &file.key, format!("every user of this machine has a right to the secret file {path}"), &advice);
    }
    found
}
