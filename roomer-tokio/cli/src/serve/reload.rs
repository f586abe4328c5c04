//! The configuration, read again on SIGHUP, with the files of certificates and keys that it names.

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
#[cfg(unix)]
use crate::serve::systemd::{self, State};
use crate::serve::tls::Certificate;
use crate::serve::webhooks::Webhooks;

/// Where the configuration comes from, and the log, which is older than the server.
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Flags,
    pub(crate) level: Level,
}

/// The parts of a server that can change while it runs.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
pub(crate) struct Reloads {
    source: Source,
    /// The configuration of the start, by which everything else works.
    started: Arc<Config>,
    denies: Denies,
    has_login: bool,
    rules: Rules,
    tls: Option<Arc<Certificate>>,
    login: Option<Arc<Login>>,
    api: Option<Arc<Api>>,
    webhooks: Webhooks,
    /// Caught from the start, since the signal would end the process. `None` if the system refuses.
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

    /// Reads the configuration whenever the signal comes.
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

    /// Applies what can change. With a mistake in the configuration itself, nothing does.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
    fn reload(&self) {
        let config = match Config::read(self.source.file.as_deref(), &self.source.flags) {
            Ok(config) => config,
            Err(problems) => return problems.iter().for_each(report),
        };
        self.source.level.set(&config.options);
        self.rules.replace(config.rooms());
        match self.read_files(&config) {
            Ok(()) => tracing::info!("configuration read again"),
            Err(problem) => report(&problem),
        }
        let waiting = self.waiting(&config).join(", ");
        if !waiting.is_empty() {
            tracing::warn!(keys = %waiting, "some changes need a new start");
        }
    }

    /// Reads certificates and keys, each kind on its own, and returns the first problem. What cannot be
    /// read stays as it was.
    fn read_files(&self, config: &Config) -> Result<(), Problem> {
        let tls = self.tls.as_ref().map_or(Ok(()), |tls| tls.reload(config));
        let login = self.login.as_ref().filter(|login| login.can_become(config));
        let login = login.map_or(Ok(()), |login| login.reload(config));
        let api = self.api.as_ref().map_or(Ok(()), |api| api.reload(config));
        let webhooks = self.webhooks.reload(config);
        tls.and(login).and(api).and(webhooks)
    }

    /// Returns the keys whose changes since the start have no effect on a server that runs.
    fn waiting(&self, config: &Config) -> Vec<&'static str> {
        let value = |config: &Config, key| config.values.raw(key).map(|(raw, _)| raw.clone());
        let keys = TABLE.iter().map(|entry| entry.key);
        let mut waiting: Vec<_> = keys
            .filter(|key| value(&self.started, key) != value(config, key))
            .filter(|key| !self.can_change(key, config))
            .collect();
        if remembering(&self.started) != remembering(config) {
            waiting.push("[[room]] presence, history");
        }
        let denies = self.rules.denies(self.has_login, self.webhooks.may_join.is_some());
        waiting.extend(denies.beyond(self.denies));
        if self.api.is_none() && !config.lists.api_keys.is_empty() {
            waiting.push("[[api_key]]");
        }
        waiting
    }

    fn can_change(&self, key: &str, config: &Config) -> bool {
        match key {
            "log.level" => true,
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
    tracing::error!(%problem, "cannot read the configuration again");
}

/// The rules by room that the hub itself applies.
fn remembering(config: &Config) -> Vec<Room> {
    let own =
        |room: &Room| Room { join: None, publish: None, whisper: None, rate: None, ..room.clone() };
    let rooms = config.rooms().map(own);
    rooms.filter(|room| room.presence.is_some() || room.history.is_some()).collect()
}
