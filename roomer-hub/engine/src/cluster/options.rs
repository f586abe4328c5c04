//! The options for a node in a cluster.

use std::time::Duration;

use roomer_hub::Order;
use roomer_hub::cluster::{Config, Loss};
use roomer_proto::cluster::{NodeId, ParsePrefixError, Subjects};

/// The options for a cluster node, for [`Builder::cluster`](crate::Builder::cluster). Servers with
/// the same cluster name on the same broker share rooms.
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::{Cluster, Server}; // or roomer_smol
///
/// let server = Server::builder().cluster(Cluster::named("chat")).build()?;
/// assert!(!server.cluster().is_some_and(|cluster| cluster.is_up));
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to `Builder::cluster`"]
pub struct Cluster {
    pub(crate) config: Config,
    pub(crate) ready_needs_broker: bool,
    pub(crate) hand_over: bool,
}

impl Cluster {
    /// Creates the default options for a node in the cluster `name`. The name is part of the
    /// broker's subjects (`roomer.<name>.…`), so it must consist of letters, digits, `-`, `_`, and
    /// dots between them.
    pub fn named(name: impl AsRef<str>) -> Self {
        let node = format!("{}-{}", host_name(), std::process::id());
        Cluster {
            config: Config::new(name.as_ref(), &node),
            ready_needs_broker: false,
            hand_over: true,
        }
    }

    /// Sets the node's display name. Default: the host name and the process id. A node that
    /// restarts with the same name replaces its predecessor within two seconds.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.config.node = name.into();
        self
    }

    /// Sets the interval between a node's heartbeats, and how long a peer may be silent before it
    /// counts as dead and its members leave. Default 1 s and 5 s.
    pub fn beat(mut self, every: Duration, dead_after: Duration) -> Self {
        (self.config.beat, self.config.dead_after) = (every, dead_after);
        self
    }

    /// Limits how many bytes are kept for each peer until that peer confirms them, and for how long
    /// they are kept. They are needed so that no message is lost when the broker restarts. Default
    /// 4 MiB and 10 s.
    pub fn journal(mut self, bytes: usize, time: Duration) -> Self {
        (self.config.journal_bytes, self.config.journal_time) = (bytes, time);
        self.config.backlog_bytes = bytes;
        self
    }

    /// Sets how long a missing message may delay later messages from the same node. Default 500 ms.
    pub fn repair_timeout(mut self, wait: Duration) -> Self {
        self.config.repair_timeout = wait;
        self
    }

    /// Sets how clients are notified that messages from another node may have been lost and could
    /// not be recovered. Default [`Loss::Rejoin`]: the members whose messages may be missing leave
    /// and rejoin. With [`Loss::Close`], this node's connections that may have missed a message are
    /// closed with 1012, at the rate of [`Builder::drain`](crate::Builder::drain), or immediately
    /// if no rate is set.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.config.loss = loss;
        self
    }

    /// Sets a room's message order. `pattern` is a room's name, or a name prefix followed by `*`;
    /// the first matching pattern applies. Default: [`Order::Sender`]. With [`Order::Room`], all
    /// members on all nodes receive the room's messages in one order, so each message is delayed
    /// until one node has assigned its position in the room's order. All nodes must have the same
    /// patterns. Rooms with [`Order::Room`] have no [`history`](crate::Builder::history).
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Cluster, Order, Server}; // or roomer_smol
    ///
    /// let cluster = Cluster::named("chess").order("game:*", Order::Room);
    /// let server = Server::builder().cluster(cluster).build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn order(mut self, pattern: impl Into<String>, order: Order) -> Self {
        self.config.orders.push((pattern.into(), order));
        self
    }

    /// Sets how long the server is not [ready](crate::Server::is_ready) after its start, so that
    /// its first clients see the other nodes' members. Default 2 s.
    pub fn formation_timeout(mut self, wait: Duration) -> Self {
        self.config.formation_timeout = wait;
        self
    }

    /// Makes the server [ready](crate::Server::is_ready) only while the broker is reachable.
    /// Default `false`, since a broker failure would otherwise remove all nodes from the load
    /// balancer at the same time.
    pub fn ready_needs_broker(mut self, needed: bool) -> Self {
        self.ready_needs_broker = needed;
        self
    }

    /// Sets whether a client that returns to a node other than the one that holds its session
    /// continues the session there. Default `true`. With `false`, a client that returns to this
    /// node gets a new session instead of continuing one on another node, and so does a client
    /// whose session is on this node and that returns to another one. Values of the application's
    /// own types in [`Claims`](crate::Claims) cannot be sent between nodes, so the session keeps
    /// the values that it has.
    pub fn hand_over(mut self, allowed: bool) -> Self {
        self.hand_over = allowed;
        self
    }

    /// Returns the patterns of rooms with [`Order::Room`].
    pub(crate) fn order_patterns(&self) -> impl Iterator<Item = &String> {
        self.config.orders.iter().map(|(pattern, _)| pattern)
    }

    pub(crate) fn ordered_rooms(&self) -> impl Iterator<Item = &str> {
        let orders = self.config.orders.iter().filter(|(_, order)| *order == Order::Room);
        orders.map(|(pattern, _)| pattern.as_str())
    }

    pub(crate) fn subjects(&self, node: NodeId) -> Result<Subjects, ParsePrefixError> {
        Subjects::new(&format!("roomer.{}", self.config.cluster), node)
    }
}

/// Returns the machine's host name, or `node` if the system does not report one.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_else(|_| "node".into());
    name
}
