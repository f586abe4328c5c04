//! Statistics as JSON, using serde.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use roomer_hub::RejectedPackets;

use crate::metrics::cluster_stats::ClusterStats;
use crate::metrics::session_stats::{RefusedSessions, ReleasedSessions};
use crate::metrics::stats::{Backlog, HistoryStats, SessionStats, Stats};

/// Implements `Serialize` for a struct in this crate. A missing field is a compile error.
macro_rules! serialize {
    ($name:ident { $($field:ident $(as $wrapper:ident)?),* $(,)? }) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $name { $($field),* } = self;
                let count = [$(stringify!($field)),*].len();
                let mut fields = serializer.serialize_struct(stringify!($name), count)?;
                $(fields.serialize_field(stringify!($field), $(&$wrapper)?($field))?;)*
                fields.end()
            }
        }
    };
}

serialize!(Stats {
    connections,
    rooms,
    memberships,
    sockets,
    handshakes,
    queued_bytes,
    held_bytes,
    opened,
    messages_in,
    bytes_in,
    messages_out,
    bytes_out,
    rejected_packets as ByName,
    rejected_requests,
    closes,
    closed_by_peer,
    lost,
    handler_errors,
    panics,
    accept_errors,
    sessions,
    histories,
    cluster,
});

serialize!(SessionStats { detached, resumed, forwarded, refused, released });
serialize!(HistoryStats { rooms, bytes });

serialize!(RefusedSessions { unknown, other_node, other_user, incomplete, closed });
serialize!(ReleasedSessions { detached, attached, unknown });

serialize!(ClusterStats {
    link_up,
    peers,
    guests,
    held_bytes,
    unapplied_bytes,
    lag_ms,
    frames_in,
    frames_out,
    bytes_in,
    bytes_out,
    demands,
    repaired,
    resets,
    gaps,
    gone,
    refused,
    overflows,
});

serialize!(Backlog { id, bytes });

/// Serializes the counts of rejected packets as a map from name to count.
struct ByName<'a>(&'a RejectedPackets);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}
