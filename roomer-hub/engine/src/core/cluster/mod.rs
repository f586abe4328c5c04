//! The cluster's effects on the core, under the server's lock.

mod elsewhere;
mod remote;
pub(crate) mod returns;

use std::time::Duration;

use roomer_hub::Command;
use roomer_hub::cluster::{Effect, Input};
use roomer_proto::close;

use crate::core::Core;
use crate::lifecycle::drain::DrainPolicy;

impl Core {
    /// Passes an input to the cluster's state machine and carries out its effects.
    pub(crate) fn apply_cluster(&mut self, now: Duration, input: Input) {
        let Some(state) = &mut self.cluster else { return };
        // Move the list out of `state`, since an effect may need the whole core.
        let mut effects = std::mem::take(&mut state.effects);
        effects.extend(state.machine.handle(now, self.hub.tables(), input));
        for effect in effects.drain(..) {
            match effect {
                Effect::Event(event) => {
                    self.cluster.iter_mut().for_each(|state| state.events.push(event.clone()));
                }
                Effect::Close { room } => self.close_later(room.as_deref()),
                Effect::Command { id, command } => self.peer_command(now, &id, &command),
                Effect::Elsewhere { from, id, proof } => {
                    self.client_is_elsewhere(now, from, &id, &proof);
                }
                Effect::Tunnel { from, item } => {
                    self.cluster.iter_mut().for_each(|state| state.tunnels.receive(from, &item));
                }
                Effect::TunnelsLost { peer } => {
                    self.cluster.iter_mut().for_each(|state| state.tunnels.lose(peer));
                }
                Effect::User { user, command } => self.user_command(now, &user, &command),
                effect => {
                    if let Some(input) = effect.hub_input() {
                        self.apply(now, input, None);
                    }
                }
            }
        }
        if let Some(state) = &mut self.cluster {
            // A peer's arrival or departure has an effect for each of the peer's members, so the
            // list may have been long. Free most of its memory.
            effects.shrink_to(64);
            state.effects = effects;
        }
    }

    /// Schedules a room's members, or all connections if `room` is `None`, to be closed, since they
    /// may have missed messages.
    fn close_later(&mut self, room: Option<&str>) {
        let Core { hub, outbound, cluster, .. } = self;
        let Some(cluster) = cluster else { return };
        let tables = hub.tables();
        match room {
            Some(room) => {
                let members = tables.find_room(room).map(|room| tables.members(room).iter());
                cluster.close_on_loss.extend(members.into_iter().flatten());
            }
            None => cluster.close_on_loss.extend(outbound.writers.keys()),
        }
    }

    /// Closes the connections that are due. The hub ignores the command for those that have already
    /// ended.
    pub(crate) fn close_lossy(&mut self, now: Duration, policy: DrainPolicy, most: usize) {
        let Some(cluster) = &mut self.cluster else { return };
        for conn in cluster.close_on_loss.take(now, policy, most) {
            let close = Command::close(conn, &close::MESSAGES_LOST);
            self.apply(now, roomer_hub::Input::Command(close), None);
        }
    }
}
