//! Reloads the configuration on SIGHUP, with the certificate and key files that it names.

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
use crate::serve::rights::{Denies, Rules};
use crate::serve::systemd::Addresses;
#[cfg(unix)]
use crate::serve::systemd::{self, State};
use crate::serve::tls::Certificate;
use crate::serve::webhooks::Webhooks;

/// The configuration's sources, the addresses chosen by a supervisor, and the log, which is started
/// before the server.
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Flags,
    pub(crate) inherited: Addresses,
    pub(crate) level: Level,
}

/// The parts of a server that can change while it runs.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
pub(crate) struct Reloads {
    source: Source,
    /// The configuration at the start, which applies to everything else.
    started: Arc<Config>,
    denies: Denies,
    has_login: bool,
    rules: Rules,
    tls: Option<Arc<Certificate>>,
    login: Option<Arc<Login>>,
    api: Option<Arc<Api>>,
    webhooks: Webhooks,
    /// Installed at the start, since the signal would otherwise end the process. `None` if that failed.
    #[cfg(unix)]
    signal: Option<Signal>,
}

impl Reloads {
    pub(crate) fn new(config: &Arc<Config>, plan: &Plan, source: Source) -> Reloads {
        Reloads {
            source,
            started: config.clone(),
            denies: plan.rules.denies(plan.has_login(), plan.webhooks.may_join.is_some()),
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

    /// Reloads the configuration whenever the signal is received.
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

    /// Applies all changes that are possible at run time. The whole configuration, including
    /// certificate and key files, is first validated as at a start: if it has an error, nothing
    /// changes.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
    fn reload(&self) {
        let (config, plan) = match self.read() {
            Ok(read) => read,
            Err(problems) => return problems.iter().for_each(report),
        };
        // Nothing can fail from here on, so a configuration is never partially applied.
        self.source.level.set(&config.options);
        self.rules.replace(config.rooms());
        if let (Some(tls), Some(new)) = (&self.tls, &plan.tls) {
            tls.adopt(new);
        }
        if let (Some(login), Some(new)) = (&self.login, &plan.login)
            // Keys from another URL would need another task that fetches them.
            && login.can_become(&config)
        {
            login.adopt(new);
        }
        if let Some(api) = &self.api {
            // Call this even if the new configuration has no keys: the earlier ones must not stay
            // valid.
            api.adopt(plan.api.as_deref());
        }
        self.webhooks.adopt(&plan.webhooks);
        tracing::info!("configuration read again");
        let waiting = self.waiting(&config).join(", ");
        if !waiting.is_empty() {
            tracing::warn!(keys = %waiting, "some changes need a restart");
        }
    }

    /// Reads the configuration and its files, and builds a plan as for a restart.
    fn read(&self) -> Result<(Config, Plan), Vec<Problem>> {
        let mut config = Config::read(self.source.file.as_deref(), &self.source.flags)?;
        // The supervisor's listeners are kept, whatever the file contains.
        self.source.inherited.replace(&mut config);
        // The plan's server never runs; building it detects errors.
        let plan = Plan::new(&config).map_err(|problem| vec![problem])?;
        Ok((config, plan))
    }

    /// Returns the options that were changed but take effect only after a restart.
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
        // Kinds of rules that the server did not have at its start cannot be added while it runs.
        let denies = self.rules.denies(self.has_login, self.webhooks.may_join.is_some());
        waiting.extend(denies.beyond(self.denies));
        // The routes are fixed at the start.
        if self.api.is_none() && !config.lists.api_keys.is_empty() {
            waiting.push("[[api_key]]");
        }
        waiting
    }

    fn can_change(&self, key: &str, config: &Config) -> bool {
        match key {
            "log.level" => true,
            // A listener cannot switch between TLS and plain TCP.
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

/// Returns the rules by room that the hub itself applies.
fn remembering(config: &Config) -> Vec<Room> {
    // The other rules are checked by this program, and take effect immediately.
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
