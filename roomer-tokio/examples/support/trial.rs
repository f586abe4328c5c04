//! The flag `--trial` of the chat server, which tests of clients use.

use std::time::Duration;

use roomer_engine::{
    Builder, Claims, ErrorCode, HandlerError, History, Info, Rejection, ReplyError,
};

/// Adds handlers for requests, logins in which a token is a name, info that clients may set, and a
/// history of ten messages in rooms whose names begin with `remembered`.
///
/// A token is `NAME` or `NAME@MILLISECONDS`. The number is the time for which the login is valid.
pub(crate) fn add(builder: Builder) -> Builder {
    builder
        .authorize(|request| login(&request.token().unwrap_or_default()))
        .renew_login(|_, token| login(token))
        .may_set_info(|_, info| info.as_str() != "\"forbidden\"")
        .history("remembered*", History::last(10))
        .on_request("echo", |_, message| message.payload.to_vec())
        .on_request("broken", |_, _| Err::<(), HandlerError>("a secret".into()))
        .on_request("taken", |_, _| {
            Err::<(), HandlerError>(ReplyError::new(ErrorCode::Refused, "it is taken").into())
        })
        .on_request_async("relay", async |conn, message| {
            let answer = conn.request("back", &message.payload, Duration::from_secs(60)).await?;
            Ok::<_, HandlerError>(answer.payload)
        })
}

fn login(token: &str) -> Result<Claims, Rejection> {
    let (name, validity) = token.split_once('@').unwrap_or((token, ""));
    let claims = match name {
        "" => Claims::new(),
        "nobody" => return Err(Rejection::unauthorized("not a name")),
        name => Claims::new().user(name).info(Info::string(name)),
    };
    Ok(match validity.parse() {
        Ok(milliseconds) => claims.valid_for(Duration::from_millis(milliseconds)),
        Err(_) => claims,
    })
}
