//! Member info options: the maximum length, and whether clients may set their own.

use std::future::Future;

use roomer_hub::Info;

use crate::app::message::{Message, OwnedMessage};
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::server::conn::Conn;

impl<E> Builder<E> {
    /// Limits the length of a member's info ([`Claims::info`](crate::Claims::info)) in bytes. Default 1
    /// KiB, since each extended member that joins a room receives the info of all members.
    pub fn max_info(mut self, bytes: usize) -> Self {
        self.config.max_info = bytes;
        self
    }

    /// Limits how often an extended client may set its own info ([`may_set_info`](Self::may_set_info)):
    /// `per_second` on average, in bursts of up to `burst`. A change above the limit is rejected and
    /// counted. Default 1 and 16, since each change is sent to all extended members of all the client's
    /// rooms. Changes by the application are not limited.
    pub fn info_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.info_rate = self.rate("info_rate", per_second, burst);
        self
    }

    /// Sets the rule that decides whether an extended client may set its own info to this value.
    /// Without a rule, clients may not set it. If the rule returns false, the change is dropped and
    /// counted. A panic closes that connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .may_set_info(|_, info| matches!(info.as_str(), r#""here""# | r#""away""#))
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn may_set_info<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &Info) -> bool + Send + Sync + 'static,
    {
        // The hub requests permission only for valid info.
        let rule = move |conn: &Conn, message: &Message<'_>| {
            Info::from_payload(message.payload).is_ok_and(|info| rule(conn, &info))
        };
        self.set(
            |options| &mut options.rules.info,
            Callback::Sync(Box::new(rule)),
            ("may_set_info", "may_set_info_async"),
        );
        self
    }

    /// Like [`may_set_info`](Self::may_set_info), for a rule that waits for a database or another
    /// service.
    pub fn may_set_info_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, Info) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let rule = move |conn, message: OwnedMessage| {
            let judged = Info::from_payload(&message.payload).ok();
            let judged = judged.map(|info| rule.clone()(conn, info));
            Box::pin(async move {
                match judged {
                    Some(judged) => judged.await,
                    None => false,
                }
            }) as _
        };
        self.set(
            |options| &mut options.rules.info,
            Callback::Async(Box::new(rule)),
            ("may_set_info", "may_set_info_async"),
        );
        self
    }
}
