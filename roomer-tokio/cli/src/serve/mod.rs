//! `roomer serve`: runs a server that is configured by a file, the environment and flags.
//!
//! | file | contents |
//! |---|---|
//! | `config` | the options and their sources |
//! | `builder` | the construction of the server from the configuration |
//! | `operator` | routes on the operators' listener: metrics and health |
//! | `admin` | the operators' page, on the same listener |
//! | `api` | the HTTP API, on the same listener |
//! | `operator_listener` | the connections to that listener, and their limits |
//! | `unread` | the parts of requests to that listener that no route reads |
//! | `login` | logins with JSON Web Tokens |
//! | `reload` | on SIGHUP, reloads the configuration, certificates and keys |
//! | `replaceable` | values that a reload replaces, all at the same instant |
//! | `rights` | the rights of clients in rooms |
//! | `webhooks` | requests to other services for decisions, and events sent to them |
//! | `fetch` | HTTP requests to other services |
//! | `systemd` | sockets from a supervisor, and notifications to it |
//! | `tls` | certificates from files |
//! | `log` | the log, as text or as lines of JSON |

mod admin;
mod api;
mod builder;
pub(crate) mod config;
mod fetch;
mod log;
mod login;
mod operator;
mod operator_listener;
mod rates;
mod reload;
mod replaceable;
mod rights;
mod systemd;
mod tls;
mod unread;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;

use roomer_tokio::{Server, cluster, serve_until, shutdown_signal, tls as tls_listener};
use tokio::net::TcpListener;
use tokio::runtime;

use crate::args::{Check, Serve};
use crate::failure::Failure;
use crate::output::Output;
use crate::serve::api::Api;
use crate::serve::config::values::Problem;
use crate::serve::config::{Config, needs};
use crate::serve::log::Dropped;
use crate::serve::login::Login;
use crate::serve::operator::Parts;
use crate::serve::reload::{Reloads, Source};
use crate::serve::rights::Rules;
use crate::serve::systemd::{Sockets, State};
use crate::serve::tls::Certificate;
use crate::serve::webhooks::{Events, Webhooks};

/// Runs a server until a signal ends it.
pub(crate) fn run(args: &Serve, output: &Output) -> Result<(), Failure> {
    let mut config = Config::read(args.file.as_deref(), &args.flags).map_err(failure)?;
    if args.print_config {
        return output.line(config.to_string().trim());
    }
    let sockets = Sockets::take().map_err(|text| failure(vec![config.problem("listen", text)]))?;
    sockets.addresses().replace(&mut config);
    let plan = Plan::new(&config).map_err(|problem| failure(vec![problem]))?;
    let log = log::start(&config.options);
    let source = Source {
        file: args.file.clone(),
        flags: args.flags.clone(),
        inherited: sockets.addresses(),
        level: log.level,
    };
    let runtime = match config.options.threads {
        // `Plan::new` has already rejected 0.
        0 | 1 => runtime::Builder::new_current_thread().enable_all().build()?,
        threads => {
            runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?
        }
    };
    // The log must be flushed before this function returns, even after an error.
    let ran = runtime.block_on(plan.run(config, sockets, source, log.dropped));
    drop(log.end);
    ran.map_err(|problem| failure(vec![problem]))
}

/// Checks a configuration as far as possible without opening a listener.
pub(crate) fn check(args: &Check, output: &Output) -> Result<(), Failure> {
    let config = Config::read(args.file.as_deref(), &args.flags).map_err(failure)?;
    Plan::new(&config).map_err(|problem| failure(vec![problem]))?;
    output.line("the configuration is valid")
}

fn failure(problems: Vec<Problem>) -> Failure {
    Failure::Config(problems.iter().map(ToString::to_string).collect())
}

/// All parts of a server. They exist only if the configuration is valid.
struct Plan {
    server: Server,
    rules: Rules,
    api: Option<Arc<Api>>,
    login: Option<Arc<Login>>,
    tls: Option<Arc<Certificate>>,
    webhooks: Webhooks,
}

impl Plan {
    fn new(config: &Config) -> Result<Plan, Problem> {
        needs::check(config)?;
        admin::check(config)?;
        let tls = Certificate::new(config)?;
        let rules = Rules::new(config.rooms());
        let login = match login::is_configured(&config.options) {
            true => Some(Arc::new(Login::new(config, rules.clone())?)),
            false => None,
        };
        let webhooks = Webhooks::new(config, &rules)?;
        let server = builder::server(config, login.as_ref(), &webhooks, &rules)?;
        Ok(Plan { api: Api::new(config, &server)?, server, rules, login, tls, webhooks })
    }

    /// Returns true if a client's login may restrict the client's rights.
    fn has_login(&self) -> bool {
        self.login.is_some() || self.webhooks.authorize.is_some()
    }

    async fn run(
        self,
        config: Config,
        sockets: Sockets,
        source: Source,
        dropped: Dropped,
    ) -> Result<(), Problem> {
        let config = Arc::new(config);
        let options = &config.options;
        let listener = bind(&config, "listen", options.listen, sockets.clients).await?;
        let operator = match options.operator_listen {
            Some(address) => {
                Some(bind(&config, "operator.listen", address, sockets.operators).await?)
            }
            None => None,
        };
        // Install the signal handler before the line is logged: a supervisor that reads the line
        // may send a signal immediately.
        let stop = shutdown_signal();
        let stop = async {
            stop.await;
            systemd::notify(State::Stopping);
        };
        let reloads = Reloads::new(&config, &self, source);
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let path = &options.path;
        let url = format!("{scheme}://{}{path}", address(&listener));
        // Log the memory budget, since its default depends on the machine or the container.
        let memory_budget = format!("{} MiB", self.server.memory_budget() >> 20);
        tracing::info!(%url, %memory_budget, "listening");
        let operator = operator.map(|listener| {
            tracing::info!(url = %format!("http://{}", address(&listener)), "listening for operators");
            let parts = Parts {
                api: self.api,
                webhooks: self.webhooks.clone(),
                log: dropped,
                has_page: options.operator_page,
            };
            let routes = operator::routes(self.server.clone(), parts);
            tokio::spawn(operator_listener::serve(listener, routes))
        });
        tokio::spawn(reloads.run());
        let events = self.webhooks.events.map(Events::start);
        if let Some(login) = self.login {
            tokio::spawn(async move { login.refresh().await });
        }
        if let Some(broker) = options.cluster_url.clone() {
            tokio::spawn(cluster(self.server.clone(), broker));
        }
        tokio::spawn(systemd::watchdog(self.server.clone()));
        systemd::notify(State::Ready);
        let served = match self.tls {
            Some(tls) => serve_until(tls_listener(listener, tls.config()), self.server, stop).await,
            None => serve_until(listener, self.server, stop).await,
        };
        // The end of each connection is an event too, so do this after the server has ended.
        if let Some(events) = events {
            events.finish().await;
        }
        // Until now, operators could observe the drain through this listener.
        if let Some(operator) = operator {
            operator.abort();
        }
        tracing::info!("stopped");
        served.map_err(|error| config.problem("listen", error.to_string()))
    }
}

/// Opens a listener. If the supervisor has passed a listener, uses that one.
async fn bind(
    config: &Config,
    key: &str,
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<TcpListener, Problem> {
    let listener = match inherited {
        Some(listener) => {
            // Supervisors pass blocking listeners, but tokio requires that they do not block.
            listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener))
        }
        None => TcpListener::bind(address).await,
    };
    listener.map_err(|error| config.problem(key, format!("cannot listen at {address}: {error}")))
}

/// Returns the address of a listener. If the configured port is 0, it contains the port that the
/// system has chosen.
fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| "?".into(), |address| address.to_string())
}
