//! The application's rules: they answer what the plan says, at once or after a while.

use roomer_engine::{Builder, Conn};
use roomer_hub::Permission;
use roomer_proto::PacketRef;
use roomer_testkit::Clock;

use super::handlers::{Application, Done, Errand, hash};
use super::plan::Answers;

const QUESTIONS: [Permission; 3] = [Permission::Join, Permission::Publish, Permission::Direct];

/// What stands for a question. A rule for joins is told of the room alone.
pub(super) fn sum(about: Permission, packet: &PacketRef<'_>) -> u64 {
    match about {
        Permission::Join => hash(&PacketRef { room: packet.room, ..PacketRef::default() }),
        _ => hash(packet),
    }
}

impl Answers {
    /// Whether a set of kinds has this question's.
    fn has(kinds: u8, sum: u64) -> bool {
        kinds >> (sum % 8) & 1 == 1
    }

    pub(super) fn allows(&self, sum: u64) -> bool {
        Answers::has(self.allows, sum)
    }
}

impl Application {
    /// Registers a rule for whatever is asked about.
    pub(super) fn rules(
        &self,
        mut builder: Builder,
        asks: &[Option<Answers>; 3],
        clock: &Clock,
    ) -> Builder {
        for (about, answers) in QUESTIONS.into_iter().zip(*asks) {
            let Some(answers) = answers else { continue };
            builder = match answers.wait {
                Some(wait) => self.slow_rule(builder, about, answers, (wait, clock)),
                None => self.quick_rule(builder, about, answers),
            };
        }
        builder
    }

    fn quick_rule(&self, builder: Builder, about: Permission, answers: Answers) -> Builder {
        let application = self.clone();
        let rule = move |conn: &Conn, packet: PacketRef<'_>| {
            let sum = sum(about, &packet);
            let by = application.asked(about, sum, conn);
            application.answers(&answers, sum, conn, by)
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
        answers: Answers,
        (wait, clock): (u32, &Clock),
    ) -> Builder {
        let (application, clock) = (self.clone(), clock.clone());
        let rule = move |conn: Conn, sum: u64| {
            let by = application.asked(about, sum, &conn);
            let mut errand = Errand::new(application.clone(), conn);
            let clock = clock.clone();
            async move {
                errand.resumes();
                if Answers::has(answers.waits, sum) {
                    errand.pauses(&clock, wait).await;
                }
                errand.is_over = true;
                errand.application.answers(&answers, sum, &errand.conn, by)
            }
        };
        match about {
            Permission::Join => builder.may_join_async(move |conn, room| {
                let packet = PacketRef { room: &room, ..PacketRef::default() };
                rule(conn, sum(about, &packet))
            }),
            Permission::Publish => builder
                .may_publish_async(move |conn, message| rule(conn, sum(about, &message.packet()))),
            _ => builder
                .may_send_async(move |conn, message| rule(conn, sum(about, &message.packet()))),
        }
    }

    /// Notes that a rule was asked. The number of the id of the one it is about.
    fn asked(&self, about: Permission, sum: u64, conn: &Conn) -> u16 {
        self.notes(conn, |by| Done::Asked { by, about, sum })
    }

    fn answers(&self, answers: &Answers, sum: u64, conn: &Conn, by: u16) -> bool {
        if Answers::has(answers.acts, sum) {
            // A rule has no errors.
            _ = self.does(conn, by, answers.deed);
        }
        let allowed = answers.allows(sum);
        self.state().done.push(Done::Answered { allowed });
        allowed
    }
}
