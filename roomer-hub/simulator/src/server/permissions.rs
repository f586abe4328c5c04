//! The permission rules of the application.
//!
//! They answer as the plan specifies, immediately or after a delay.

use roomer_engine::{Builder, Conn};
use roomer_hub::Permission;
use roomer_proto::PacketRef;
use roomer_testkit::Clock;

use super::application::{Application, LogEntry, SlowCall, hash};
use super::plan::RuleAnswers;

const QUESTIONS: [Permission; 3] = [Permission::Join, Permission::Publish, Permission::Direct];

/// Returns a hash of a question to a rule. For joins, it contains only the room, since the rule
/// receives nothing else.
pub(super) fn digest(about: Permission, packet: &PacketRef<'_>) -> u64 {
    match about {
        Permission::Join => hash(&PacketRef { room: packet.room, ..PacketRef::default() }),
        _ => hash(packet),
    }
}

impl RuleAnswers {
    /// Returns true if the set `kinds` contains the kind of the question with this hash.
    fn has(kinds: u8, digest: u64) -> bool {
        kinds >> (digest % 8) & 1 == 1
    }

    pub(super) fn allows(&self, digest: u64) -> bool {
        RuleAnswers::has(self.allows, digest)
    }
}

impl Application {
    /// Registers the permission rules of the plan.
    pub(super) fn register_rules(
        &self,
        mut builder: Builder,
        authorize: &[Option<RuleAnswers>; 3],
        clock: &Clock,
    ) -> Builder {
        for (about, answers) in QUESTIONS.into_iter().zip(*authorize) {
            let Some(answers) = answers else { continue };
            builder = match answers.wait {
                Some(wait) => self.slow_rule(builder, about, answers, (wait, clock)),
                None => self.quick_rule(builder, about, answers),
            };
        }
        builder
    }

    fn quick_rule(&self, builder: Builder, about: Permission, answers: RuleAnswers) -> Builder {
        let application = self.clone();
        let rule = move |conn: &Conn, packet: PacketRef<'_>| {
            // The answer depends only on the question, so that the checker can compute it.
            let digest = digest(about, &packet);
            let by = application.record_question(about, digest, conn);
            application.answer(&answers, digest, conn, by)
        };
        match about {
            Permission::Join => builder
                .may_join(move |conn, room| rule(conn, PacketRef { room, ..PacketRef::default() })),
            Permission::Publish => {
                builder.may_publish(move |conn, message| rule(conn, message.packet()))
            }
            _ => builder.may_send(move |conn, message| rule(conn, message.packet())),
        }
    }

    fn slow_rule(
        &self,
        builder: Builder,
        about: Permission,
        answers: RuleAnswers,
        (wait, clock): (u32, &Clock),
    ) -> Builder {
        let (application, clock) = (self.clone(), clock.clone());
        let rule = move |conn: Conn, digest: u64| {
            let by = application.record_question(about, digest, &conn);
            let mut call = SlowCall::new(application.clone(), conn);
            let clock = clock.clone();
            async move {
                call.record_resume();
                if RuleAnswers::has(answers.waits, digest) {
                    call.pause(&clock, wait).await;
                }
                // Set this before the rule answers: the action may panic, and the panic must not
                // count as a dropped call.
                call.is_finished = true;
                call.application.answer(&answers, digest, &call.conn, by)
            }
        };
        match about {
            Permission::Join => builder.may_join_async(move |conn, room| {
                let packet = PacketRef { room: &room, ..PacketRef::default() };
                rule(conn, digest(about, &packet))
            }),
            Permission::Publish => builder.may_publish_async(move |conn, message| {
                rule(conn, digest(about, &message.packet()))
            }),
            _ => builder
                .may_send_async(move |conn, message| rule(conn, digest(about, &message.packet()))),
        }
    }

    /// Records the call of a rule. Returns the id number of the connection.
    fn record_question(&self, about: Permission, digest: u64, conn: &Conn) -> u16 {
        self.record(conn, |by| LogEntry::RuleCalled { by, about, digest })
    }

    fn answer(&self, answers: &RuleAnswers, digest: u64, conn: &Conn, by: u16) -> bool {
        if RuleAnswers::has(answers.acting, digest) {
            // A rule cannot return an error.
            _ = self.run_action(conn, by, answers.action);
        }
        let allowed = answers.allows(digest);
        self.state().log.push(LogEntry::RuleAnswered { allowed });
        allowed
    }
}
