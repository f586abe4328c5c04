//! Creates the machine of a node.

use roomer_hub::cluster::{Cluster as Machine, settings_hash};
use roomer_hub::{Config, Presence};
use roomer_proto::cluster::NodeId;

use super::BuildError;
use super::options::Options;
use crate::cluster::Cluster;
use crate::env::Environment;

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
        [("beat", own.beat), ("dead_after", own.dead_after), ("repair_wait", own.repair_wait)]
    {
        if time.is_zero() {
            return Err(BuildError::Zero { option });
        }
    }
    own.max_packet = options.limits.max_message;
    own.max_name = config.max_name;
    // What all nodes must agree on, or the same client sees different rules at different nodes.
    let settings = format!("{} {} {presences:?}", own.max_packet, config.members_only);
    own.settings = settings_hash(&settings);
    Ok(Machine::new(own, node, env.now()))
}
