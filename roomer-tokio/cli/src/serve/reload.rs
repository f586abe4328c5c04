//! Files of certificates and keys, read again on SIGHUP: they change more often than a server restarts.

use std::sync::Arc;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::serve::Plan;
use crate::serve::api::Api;
use crate::serve::config::Config;
use crate::serve::config::values::Problem;
use crate::serve::login::Login;
#[cfg(unix)]
use crate::serve::systemd::{self, State};
use crate::serve::tls::Certificate;
use crate::serve::webhooks::Webhooks;

/// The parts of a server that are read again.
pub(crate) struct Reloads {
    config: Arc<Config>,
    tls: Option<Arc<Certificate>>,
    login: Option<Arc<Login>>,
    api: Option<Arc<Api>>,
    webhooks: Webhooks,
    /// Caught from the start, since the signal would end the process. `None` if the system refuses.
    #[cfg(unix)]
    signal: Option<Signal>,
}

impl Reloads {
    pub(crate) fn new(config: &Arc<Config>, plan: &Plan) -> Reloads {
        Reloads {
            config: config.clone(),
            tls: plan.tls.clone(),
            login: plan.login.clone(),
            api: plan.api.clone(),
            webhooks: plan.webhooks.clone(),
            #[cfg(unix)]
            signal: signal(SignalKind::hangup()).ok(),
        }
    }

    /// Reads the files whenever the signal comes.
    #[cfg(unix)]
    pub(crate) async fn run(mut self) {
        let Some(mut signal) = self.signal.take() else { return };
        while signal.recv().await.is_some() {
            systemd::notify(State::Reloading);
            match self.read() {
                Ok(()) => tracing::info!("certificates and keys read again"),
                // What was read before stays in use.
                Err(problem) => {
                    tracing::error!(%problem, "cannot read certificates and keys again")
                }
            }
            systemd::notify(State::Ready);
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn run(self) {}

    /// Reads all files, each kind on its own, and returns the first problem.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there is no such signal"))]
    fn read(&self) -> Result<(), Problem> {
        let tls = self.tls.as_ref().map_or(Ok(()), |tls| tls.reload(&self.config));
        let login = self.login.as_ref().map_or(Ok(()), |login| login.reload(&self.config));
        let api = self.api.as_ref().map_or(Ok(()), |api| api.reload(&self.config));
        let webhooks = self.webhooks.reload(&self.config);
        tls.and(login).and(api).and(webhooks)
    }
}
