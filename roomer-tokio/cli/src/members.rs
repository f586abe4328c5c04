//! `roomer members`: prints the members of a room, except for this client.

use roomer_tokio::client::Event;
use serde_json::json;

use crate::args::Members;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, Profile};
use crate::stop::Stop;

pub(crate) async fn run(args: &Members, output: &Output) -> Result<(), Failure> {
    let Connection { client, mut events } = args.connect.open().await?;
    let room = args.connect.join(&client, &args.room).await?;
    let mut stop = Stop::new();
    let own = client.id();
    let (total, mut others) = room.with_members(|members| {
        let ids = members.ids().filter(|id| Some(**id) != own);
        let others: Vec<_> = ids.map(|id| (*id, Profile::of(members, id))).collect();
        (members.count().saturating_sub(1), others)
    });
    others.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    // If the room only counts its members, the server does not list them.
    if others.is_empty() && total > 0 {
        output.either(&json!({ "on": "count", "members": total }), || {
            format!("{total} members; the server does not send their ids")
        })?;
    }
    for (id, profile) in others {
        let mut value = json!({ "on": "member", "id": id.as_str() });
        profile.put(&mut value);
        output.either(&value, || format!("{id}{profile}"))?;
    }
    if !args.watch {
        stop.close(&client).await;
        return Ok(());
    }
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.wait() => break,
        };
        let Some(event) = event else { break };
        match &event {
            Event::MemberJoined { room: name, .. }
            | Event::MemberChanged { room: name, .. }
            | Event::MemberLeft { room: name, .. } => {
                if **name == *room.name() {
                    output.members(&event, &room)?;
                }
            }
            Event::Removed { room: name } if **name == *room.name() => {
                return Err(Failure::removed(name));
            }
            Event::Closed(closing) => return Err(Failure::closed(&args.connect.url, closing)),
            event => output.connection(event),
        }
    }
    stop.close(&client).await;
    Ok(())
}
