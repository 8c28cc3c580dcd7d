//! Options of the simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use uuid::Uuid;

use super::profile::Profile;
use super::seeds::Seeds;
use super::settings::EnvironmentSettings;

/// Options of the simulator.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Environments, at least one; each has its own listener.
    pub environments: Vec<EnvironmentOptions>,
}

/// Initial state of an environment, which a reset restores.
#[derive(Clone, Debug)]
pub struct EnvironmentOptions {
    /// Name in the journal and for [`super::Running::environment`].
    pub name: String,
    /// Address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Initial switches.
    pub settings: EnvironmentSettings,
    /// Initial rows.
    pub seeds: Seeds,
}

/// Description of an environment that can't be parsed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("environment `{text}`: {problem}")]
pub struct BadEnvironment {
    text: String,
    problem: String,
}

impl SimulatorOptions {
    /// Creates options for one environment on a free port of loopback.
    pub fn one(name: &str, profile: Profile) -> Self {
        Self { environments: vec![EnvironmentOptions::new(name, profile)] }
    }
}

impl EnvironmentOptions {
    /// Creates an environment on a free port of loopback, with the rows of the example organization file.
    pub fn new(name: &str, profile: Profile) -> Self {
        Self {
            name: name.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            settings: EnvironmentSettings::of(profile),
            seeds: Seeds::default(),
        }
    }

    fn set(&mut self, seeds: &mut Seeds, key: &str, value: &str) -> Result<(), String> {
        let id = || value.parse::<Uuid>().map_err(|_| format!("{key}={value}: expected a GUID"));
        match key {
            "name" => self.name = value.into(),
            "profile" => self.settings.adopt(value.parse::<Profile>()?),
            "listen" => {
                let bad = |_| format!("listen={value}: expected an address such as 127.0.0.1:7001");
                self.listen = value.parse().map_err(bad)?;
            }
            "url" => self.settings.url = Some(value.trim_end_matches('/').into()),
            "tenant" => self.settings.tenant_id = value.into(),
            "client" => self.settings.client_id = value.into(),
            "secret" => self.settings.client_secrets = vec![value.into()],
            "owner" => seeds.owners.push(id()?),
            "queue" => seeds.queues.push(id()?),
            "account" => seeds.accounts.push(id()?),
            "subject" => seeds.subjects.push(id()?),
            "workstream" => seeds.workstreams.push(id()?),
            _ => {
                let known =
                    "name, profile, listen, url, tenant, client, secret, owner, queue, account, subject, workstream";
                return Err(format!("`{key}` is unknown; expected one of {known}"));
            }
        }
        Ok(())
    }
}

impl FromStr for EnvironmentOptions {
    type Err = BadEnvironment;

    /// Parses `name=acme,profile=opencx,listen=127.0.0.1:7001`.
    fn from_str(text: &str) -> Result<Self, BadEnvironment> {
        let bad = |problem: String| BadEnvironment { text: text.into(), problem };
        let mut options = Self::new("", Profile::default());
        let mut seeds = Seeds::none();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.trim().split_once('=').ok_or_else(|| bad(format!("`{part}` is not key=value")))?;
            options.set(&mut seeds, key, value).map_err(bad)?;
        }
        if options.name.is_empty() {
            return Err(bad("the name is missing; add name=acme".into()));
        }
        let or = |given: Vec<Uuid>, default: &mut Vec<Uuid>| {
            if !given.is_empty() {
                *default = given;
            }
        };
        or(seeds.owners, &mut options.seeds.owners);
        or(seeds.queues, &mut options.seeds.queues);
        or(seeds.accounts, &mut options.seeds.accounts);
        or(seeds.subjects, &mut options.seeds.subjects);
        or(seeds.workstreams, &mut options.seeds.workstreams);
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_parsed() {
        let text = "name=globex,profile=stock,listen=127.0.0.1:7002,url=http://dynamics.test/,secret=s,owner=00000000-0000-0000-0000-000000000001";
        let options: EnvironmentOptions = text.parse().expect("a description");
        assert_eq!(options.listen.port(), 7002);
        assert_eq!(options.settings.url.as_deref(), Some("http://dynamics.test"));
        assert_eq!(options.settings.profile, Profile::Stock);
        assert_eq!(options.seeds.owners, [Uuid::from_u128(1)]);
        assert_eq!(options.seeds.queues, Seeds::default().queues);
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, problem) in [
            ("profile=stock", "the name is missing; add name=acme"),
            (
                "name=a,port=1",
                "`port` is unknown; expected one of name, profile, listen, url, tenant, client, secret, owner, queue, account, subject, workstream",
            ),
            ("name=a,listen=7001", "listen=7001: expected an address such as 127.0.0.1:7001"),
            ("name=a,profile=x", "profile `x`: expected `opencx` or `stock`"),
            ("name=a,queue=1", "queue=1: expected a GUID"),
            ("acme", "`acme` is not key=value"),
        ] {
            let error = text.parse::<EnvironmentOptions>().expect_err(text);
            assert_eq!(error.problem, problem);
        }
    }
}
