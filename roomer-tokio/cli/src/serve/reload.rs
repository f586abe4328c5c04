//! Reloads the configuration on SIGHUP, and the files with certificates and keys that it names.

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::serve::Plan;
use crate::serve::api::Api;
use crate::serve::config::Config;
use crate::serve::config::flags::Flags;
use crate::serve::config::options::TABLE;
use crate::serve::config::rooms::Room;
use crate::serve::config::values::Problem;
use crate::serve::log::Level;
use crate::serve::login::Login;
use crate::serve::replaceable::replace_all;
use crate::serve::rights::{Denies, Rules};
use crate::serve::systemd::Addresses;
#[cfg(unix)]
use crate::serve::systemd::{self, State};
use crate::serve::tls::Certificate;
use crate::serve::webhooks::Webhooks;

/// The sources of the configuration, the addresses that a supervisor has chosen, and the log level,
/// which is part of this because the log starts before the server.
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Flags,
    pub(crate) inherited: Addresses,
    pub(crate) level: Level,
}

/// The parts of a server that can be changed while it runs.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
pub(crate) struct Reloads {
    source: Source,
    /// The configuration with which the server was started. It still applies to all other parts.
    started: Arc<Config>,
    /// The actions for which the server checks the room rules.
    enforced: Denies,
    has_login: bool,
    rules: Rules,
    tls: Option<Arc<Certificate>>,
    login: Option<Arc<Login>>,
    api: Option<Arc<Api>>,
    webhooks: Webhooks,
    /// The handler of the signal. It is installed at the start, since the signal would otherwise
    /// end the process. `None` if that has failed.
    #[cfg(unix)]
    signal: Option<Signal>,
}

impl Reloads {
    pub(crate) fn new(config: &Arc<Config>, plan: &Plan, source: Source) -> Reloads {
        Reloads {
            source,
            started: config.clone(),
            enforced: plan.rules.enforced(plan.has_login(), &plan.webhooks),
            has_login: plan.has_login(),
            rules: plan.rules.clone(),
            tls: plan.tls.clone(),
            login: plan.login.clone(),
            api: plan.api.clone(),
            webhooks: plan.webhooks.clone(),
            #[cfg(unix)]
            signal: signal(SignalKind::hangup()).ok(),
        }
    }

    /// Reloads the configuration each time the signal arrives.
    #[cfg(unix)]
    pub(crate) async fn run(mut self) {
        let Some(mut signal) = self.signal.take() else { return };
        while signal.recv().await.is_some() {
            systemd::notify(State::Reloading);
            self.reload();
            systemd::notify(State::Ready);
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn run(self) {}

    /// Applies all changes that are possible while the server runs. The whole configuration, with
    /// its certificates and keys, is first checked as at startup: if it contains an error, nothing
    /// is changed.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
    fn reload(&self) {
        let (config, plan) = match self.read() {
            Ok(read) => read,
            Err(problems) => return problems.iter().for_each(report),
        };
        // From here on nothing can fail, so a configuration is never applied in part.
        self.source.level.set(&config.options);
        let mut replacements = vec![self.rules.replace(config.rooms())];
        if let (Some(tls), Some(new)) = (&self.tls, &plan.tls) {
            replacements.push(tls.adopt(new));
        }
        if let (Some(login), Some(new)) = (&self.login, &plan.login)
            // Keys from another URL would need another task to fetch them.
            && login.can_become(&config)
        {
            replacements.push(login.adopt(new));
        }
        if let Some(api) = &self.api {
            // Call this even if the new configuration has no API, so that the previous keys become
            // invalid.
            replacements.push(api.adopt(plan.api.as_deref()));
        }
        replacements.extend(self.webhooks.adopt(&plan.webhooks));
        replace_all(replacements);
        tracing::info!("configuration read again");
        let waiting = self.waiting(&config).join(", ");
        if !waiting.is_empty() {
            tracing::warn!(keys = %waiting, "some changes need a restart");
        }
    }

    /// Reads the configuration and its files, and builds all parts as for a restart.
    fn read(&self) -> Result<(Config, Plan), Vec<Problem>> {
        let mut config = Config::read(self.source.file.as_deref(), &self.source.flags)?;
        // The listeners that the supervisor has passed are kept, whatever the file says.
        self.source.inherited.replace(&mut config);
        // The server in the plan never runs. Building it detects errors.
        let plan = Plan::new(&config).map_err(|problem| vec![problem])?;
        Ok((config, plan))
    }

    /// Returns the options that have changed, and that have an effect only after a restart.
    fn waiting(&self, config: &Config) -> Vec<&'static str> {
        let value = |config: &Config, key| config.values.raw(key).map(|(raw, _)| raw.clone());
        let keys = TABLE.iter().map(|entry| entry.key);
        let mut waiting: Vec<_> = keys
            .filter(|key| value(&self.started, key) != value(config, key))
            .filter(|key| !self.can_change(key, config))
            .collect();
        if remembering(&self.started) != remembering(config) {
            waiting.push("[[room]] presence, history, deflate");
        }
        // If the server had no rules of a kind at the start, it cannot get any while it runs.
        let denies = self.rules.denies(self.has_login, self.webhooks.may_join.is_some());
        waiting.extend(denies.beyond(self.enforced));
        // The routes are fixed when the server starts.
        if self.api.is_none() && !config.lists.api_keys.is_empty() {
            waiting.push("[[api_key]]");
        }
        waiting
    }

    fn can_change(&self, key: &str, config: &Config) -> bool {
        match key {
            "log.level" => true,
            // A listener that uses TLS cannot change to plain TCP, and vice versa.
            "tls.certificate" | "tls.key" => {
                self.tls.is_some() && config.options.tls_certificate.is_some()
            }
            "jwt.secret" | "jwt.keys" | "jwt.jwks" => {
                self.login.as_ref().is_some_and(|login| login.can_become(config))
            }
            "webhooks.secret" => {
                self.started.options.webhooks_secret.is_some()
                    && config.options.webhooks_secret.is_some()
            }
            _ => false,
        }
    }
}

fn report(problem: &Problem) {
    tracing::error!(%problem, "cannot read the configuration again: all of the old one stays");
}

/// Returns the room rules that the hub applies.
fn remembering(config: &Config) -> Vec<Room> {
    // All other rules are checked in this program, and take effect immediately.
    let own = |room: &Room| Room {
        join: None,
        publish: None,
        whisper: None,
        history_for: None,
        rate: None,
        join_rate: None,
        ..room.clone()
    };
    let rooms = config.rooms().map(own);
    let is_one =
        |room: &Room| room.presence.is_some() || room.history.is_some() || room.deflate.is_some();
    rooms.filter(is_one).collect()
}
