//! `roomer request`: sends a request and prints the answer.

use roomer_tokio::client::{RequestError, State};

use crate::args::Request;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(args: &Request, output: &Output) -> Result<(), Failure> {
    let to = args.connect.receiver(args.to.as_deref())?;
    let payload = args.payload.read()?;
    let Connection { client, .. } = args.connect.open().await?;
    let room = args.connect.join(&client, &args.room).await?;
    let timeout = args.connect.timeout;
    let answer = match to {
        Some(to) => room.request_to(to, &args.event, payload, timeout).await,
        None => room.request(&args.event, payload, timeout).await,
    };
    let answer = match answer {
        // The client will not reconnect, which is the reason for the request's failure.
        Err(RequestError::Lost | RequestError::Unsent) if client.state() == State::Closed => {
            return Err(Failure::closed(&args.connect.url, &client.closed().await));
        }
        answer => answer?,
    };
    output.answer(&answer)
}
