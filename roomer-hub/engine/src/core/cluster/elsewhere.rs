//! Clients that get a new session because the node of their old one does not hand it over.
//!
//! [`super::returns`] describes the handover.
//!
//! A token begins with its session's connection id, whose first digits identify the node. A node
//! that starts a new session notifies the old session's node, with a proof that the client has the
//! old session's token. The old session's node then ends that session immediately instead of after
//! [`resume_window`](crate::Builder::resume_window), so that the client is not a member twice.

use std::time::Duration;

use roomer_hub::ConnId;
use roomer_hub::cluster::{Change, SessionProof};
use roomer_proto::cluster::NodeId;
use roomer_proto::extended::SessionToken;

use crate::app::disconnect::DisconnectReason;
use crate::core::Core;
use crate::session::release::Release;

impl Core {
    /// Returns true if a token belongs to a session on another live node.
    pub(crate) fn is_of_peer(&self, token: &SessionToken) -> bool {
        let tables = self.hub.tables();
        self.cluster.is_some() && tables.peers_of(token.id().as_str()).next().is_some()
    }

    /// Notifies the node that issued `token` that the client has a new session here, as this user.
    pub(crate) fn report_elsewhere(
        &mut self,
        now: Duration,
        token: &SessionToken,
        user: Option<&str>,
    ) {
        let Core { hub, cluster, .. } = self;
        let Some(cluster) = cluster else { return };
        let (tables, id) = (hub.tables(), token.id());
        // Two nodes may share a tag. A node without that session ignores the proof.
        let proof = SessionProof::new(&token.secret(), &id, cluster.machine.node(), user);
        for peer in tables.peers_of(id.as_str()) {
            cluster.machine.record(now, tables, Change::Elsewhere { peer, id, proof });
        }
    }

    /// If the proof is valid, ends a session whose client has a new session on another node.
    pub(super) fn client_is_elsewhere(
        &mut self,
        now: Duration,
        from: NodeId,
        id: &ConnId,
        proof: &SessionProof,
    ) {
        let conn = self.hub.tables().find_conn(id.as_str());
        // If the user differs, keep the session, as if the client had returned to this node.
        let user = conn.and_then(|conn| self.infos.get(conn)?.user());
        let is_proven = |secret: &[u8; 16]| {
            SessionProof::new(secret, id, from, user.map(|user| &**user)) == *proof
        };
        let sessions = &mut self.sessions;
        let release = conn.map(|conn| (conn, sessions.release(conn, is_proven)));
        let Some((conn, Release::Now)) = release else {
            sessions.released.unknown += u64::from(!matches!(release, Some((_, Release::Later))));
            return;
        };
        // Abort the writer first so that a task that has just received the session finds it ended.
        self.outbound.abort(conn);
        self.gone(now, conn, DisconnectReason::Lost);
    }
}
