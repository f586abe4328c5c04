//! `roomer talk`: an interactive conversation, line by line.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::thread;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use roomer_proto::extended::Info;
use roomer_tokio::client::{Client, Event, Message, Room};
use roomer_tokio::shutdown_signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::args::Talk;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, Profile, escape, readable, sender, styled};

const PASTE_OFF: &str = "\x1b[?2004l";

/// Prints lines above the one being edited.
type Printer = Option<Box<dyn ExternalPrinter + Send>>;

pub(crate) async fn run(args: Talk, output: &Output) -> Result<(), Failure> {
    if output.is_json {
        return Err(Failure::Input("talk is for people: tail and send have --json".into()));
    }
    let Connection { client, mut events } = args.connect.open().await?;
    // Install the handler only now: until then, a signal ends the process immediately.
    let mut stop = pin!(shutdown_signal());
    if let Some(name) = &args.name {
        let info = Info::new(&json!({ "name": name }).to_string());
        client.set_info(Some(info.map_err(|error| Failure::Input(format!("--name: {error}")))?));
    }
    let room = client.join_with_history(&args.room, args.history);
    args.connect.join(&client, &args.room).await?;
    // Save the settings before the editor changes them.
    let _terminal = Terminal::new();
    let (printer, mut lines) = editor()?;
    let mut talk = Talker { client, room, event: args.event, printer, output };
    talk.who()?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Closed(closing)) => {
                    return Err(Failure::closed(&args.connect.url, &closing));
                }
                Some(event) => talk.show(&event)?,
                None => break,
            },
            line = lines.recv() => match line {
                Some(line) => if !talk.take(&line)? { break },
                None => break,
            },
            () = &mut stop => break,
        }
    }
    talk.client.close().await;
    Ok(())
}

/// The terminal's settings before the editor changed them. The editor cannot restore them if the
/// conversation ends while it waits for keys.
struct Terminal(Option<Termios>);

impl Terminal {
    fn new() -> Terminal {
        Terminal(tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // This fails only if the terminal was closed.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
            // This also disables bracketed paste, and ends the line with the prompt.
            let _ = writeln!(std::io::stdout(), "{PASTE_OFF}");
        }
    }
}

/// Reads lines in a separate thread, since the editor blocks while it waits for keys.
fn editor() -> Result<(Printer, UnboundedReceiver<String>), Failure> {
    let unusable = |error: ReadlineError| Failure::Input(format!("the terminal: {error}"));
    let (sender, lines) = mpsc::unbounded_channel();
    if !std::io::stdin().is_terminal() {
        // Use a thread, since a blocking read cannot be cancelled.
        thread::spawn(move || {
            // An error ends the conversation like the end of the input does.
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        return Ok((None, lines));
    }
    let mut editor = DefaultEditor::new().map_err(unusable)?;
    let printer = editor.create_external_printer().map_err(unusable)?;
    thread::spawn(move || {
        // Runs until Ctrl-C, Ctrl-D, or a terminal error.
        while let Ok(line) = editor.readline("> ") {
            let _ = editor.add_history_entry(&line);
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok((Some(Box::new(printer)), lines))
}

struct Talker<'a> {
    client: Client,
    room: Room,
    event: String,
    printer: Printer,
    output: &'a Output,
}

impl Talker<'_> {
    fn line(&mut self, line: String) -> Result<(), Failure> {
        match &mut self.printer {
            Some(printer) => {
                // The editor passes escape sequences through, so colours are removed here.
                let line = match AutoStream::choice(&std::io::stdout()) {
                    ColorChoice::Never => strip_str(&line).to_string(),
                    _ => line,
                };
                let printed = printer.print(format!("{line}\n"));
                printed.map_err(|error| Failure::Input(format!("the terminal: {error}")))
            }
            None => self.output.line(&line),
        }
    }

    fn who(&mut self) -> Result<(), Failure> {
        let own = self.client.id();
        let mut lines = Vec::new();
        let count = self.room.with_members(|members| {
            for id in members.ids().filter(|id| Some(**id) != own) {
                lines.push(format!("  {id}{}", Profile::of(members, id)));
            }
            // Exclude this client, which is a member too.
            members.count().saturating_sub(1)
        });
        lines.sort();
        self.line(match count {
            1 => "1 other member".into(),
            count => format!("{count} other members"),
        })?;
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Executes a line of input. Returns false if it ends the conversation.
    fn take(&mut self, line: &str) -> Result<bool, Failure> {
        let words = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match words {
            ("", _) => {}
            ("/quit", _) => return Ok(false),
            ("/who", _) => self.who()?,
            ("/to", rest) => {
                let Some((id, text)) = rest.trim().split_once(' ') else {
                    self.line("/to ID TEXT".into())?;
                    return Ok(true);
                };
                match self.member(id) {
                    Some(id) => {
                        let sent = self.room.send_to(id, "whisper", text);
                        self.report(sent.err())?;
                    }
                    None => self.line(format!("no member, or more than one, has {id:?}"))?,
                }
            }
            (command, _) if command.starts_with('/') && !command.starts_with("//") => {
                self.line("commands: /who, /to ID TEXT, /quit; // sends a /".into())?;
            }
            _ => {
                let text = line.strip_prefix("//").map(|rest| format!("/{rest}"));
                let sent = self.room.send(&self.event, text.as_deref().unwrap_or(line));
                self.report(sent.err())?;
            }
        }
        Ok(true)
    }

    fn report(&mut self, error: Option<impl ToString>) -> Result<(), Failure> {
        error.map_or(Ok(()), |error| self.line(format!("not sent: {}", error.to_string())))
    }

    /// Returns the only member whose id begins with this text.
    fn member(&self, start: &str) -> Option<roomer_proto::ConnId> {
        self.room.with_members(|members| {
            let mut found = members.ids().filter(|id| id.as_str().starts_with(start));
            // Return it only if it is unique: a direct message must not reach another member by
            // accident.
            found.next().filter(|_| found.next().is_none()).copied()
        })
    }

    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        let here = |room: &str| *room == *self.room.name();
        match event {
            Event::Message(message) if here(&message.room) => self.show_message(message),
            Event::MemberJoined { room, id } if here(room) => self.status(format!("{id} joined")),
            Event::MemberLeft { room, id } if here(room) => self.status(format!("{id} left")),
            Event::Removed { room } if here(room) => Err(Failure::removed(room)),
            Event::Suspended(failure) => self.status(format!("{failure}; connecting again")),
            Event::Rejoined { .. } => self.status("connected again".into()),
            Event::Opened { is_resumed: true, .. } => {
                self.status("connected again, nothing is lost".into())
            }
            Event::Missed { .. } => self.status("messages are missing".into()),
            Event::Lost(lost) => {
                let text = readable(&lost.packet.payload);
                self.status(format!("may not have arrived: {text}"))
            }
            Event::Error(error) => self.status(format!("{}: {}", error.code, error.message)),
            _ => Ok(()),
        }
    }

    fn status(&mut self, text: String) -> Result<(), Failure> {
        self.line(styled(&escape(&text), anstyle::Style::new().dimmed()))
    }

    fn show_message(&mut self, message: &Message) -> Result<(), Failure> {
        let name = self
            .room
            .with_members(|members| Profile::of(members, &message.from.parse().ok()?).name());
        let from = match name {
            Some(name) => styled(&escape(&name), AnsiColor::Green.on_default()),
            None => sender(&message.from),
        };
        let text = readable(&message.payload);
        match (&*message.event, message.is_direct) {
            (event, false) if *event == *self.event => self.line(format!("{from}: {text}")),
            (_, true) => self.line(format!("{from} (to you): {text}")),
            (event, false) => self.line(format!("{from} [{}] {text}", escape(event))),
        }
    }
}
