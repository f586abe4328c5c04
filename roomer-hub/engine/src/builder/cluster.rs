//! Cluster hooks, and creation of the node's state machine.

use roomer_hub::cluster::{Cluster as Machine, settings_hash};
use roomer_hub::{Config, Presence};
use roomer_proto::cluster::NodeId;

use super::{BuildError, Builder};
use crate::Server;
use crate::cluster::{Cluster, Gap, PeerEvent};
use crate::env::Environment;
use crate::options::{LONGEST, Options};

impl<E> Builder<E> {
    /// Calls `hook` when the members of another [cluster](Self::cluster) node become visible, and
    /// when that node has left.
    ///
    /// The hooks `on_peer` and `on_gap` run one at a time, in event order, in the broker link's
    /// task, so they should return quickly. A panic is only counted.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Cluster, Server}; // or roomer_smol
    /// let server = Server::builder()
    ///     .cluster(Cluster::named("chat"))
    ///     .on_peer(|_, event| match event.gone {
    ///         None => eprintln!("{} is here", event.name),
    ///         Some(reason) => eprintln!("{} is gone: {}", event.name, reason.name()),
    ///     })
    ///     .on_gap(|_, gap| eprintln!("messages of {} may be lost in {:?}", gap.name, gap.room))
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn on_peer<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Server, &PeerEvent) + Send + Sync + 'static,
    {
        self.options.on_peer = Some(Box::new(hook));
        self
    }

    /// Calls `hook` when messages from another [cluster](Self::cluster) node may have been lost,
    /// once for each room with members on this node. [`Cluster::loss`] sets how the loss is
    /// reported to clients. For order and panics, see [`on_peer`](Self::on_peer).
    pub fn on_gap<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Server, &Gap) + Send + Sync + 'static,
    {
        self.options.on_gap = Some(Box::new(hook));
        self
    }
}

pub(super) fn machine(
    cluster: &Cluster,
    options: &Options,
    config: &Config,
    presences: &[(String, Presence)],
    env: &dyn Environment,
) -> Result<Machine, BuildError> {
    let [a, b, c, d, e, f, g, h, ..] = env.random();
    let node = NodeId(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    cluster.subjects(node)?;
    let mut own = cluster.config.clone();
    for (option, time) in
        [("beat", own.beat), ("dead_after", own.dead_after), ("repair_timeout", own.repair_timeout)]
    {
        if time.is_zero() {
            return Err(BuildError::Zero { option });
        }
    }
    // Limit the cluster's times to a century, as the builder does with all other times.
    for time in [
        &mut own.beat,
        &mut own.dead_after,
        &mut own.journal_time,
        &mut own.repair_timeout,
        &mut own.formation_timeout,
    ] {
        *time = LONGEST.min(*time);
    }
    own.max_packet = options.limits.max_message;
    own.max_name = config.max_name;
    own.max_info = config.max_info;
    // Nodes must agree on these settings; otherwise, clients of different nodes would be subject to
    // different rules.
    let mut settings = format!("{} {} {presences:?}", own.max_packet, config.members_only);
    if !own.orders.is_empty() {
        settings += &format!(" {:?}", own.orders);
    }
    if own.max_info != Config::default().max_info {
        settings += &format!(" info {}", own.max_info);
    }
    own.settings = settings_hash(&settings);
    Ok(Machine::new(own, node, env.now()))
}
