//! `roomer talk`: a conversation in a room, line by line.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use roomer_proto::ConnId;
use roomer_proto::extended::Info;
use roomer_tokio::client::{Client, Event, Message, Room, SendError};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver};

use crate::args::Talk;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::input::{LINES_AHEAD, Line, read_lines};
use crate::output::{Output, Profile, escape, readable, sender, styled};
use crate::stop::Stop;

const PASTE_OFF: &str = "\x1b[?2004l";
/// The event of direct messages.
const WHISPER: &str = "whisper";
/// The delay between two attempts to queue a message while the client's queue is full.
const RETRY: Duration = Duration::from_millis(10);

/// Prints lines above the line that is being edited.
type Printer = Option<Box<dyn ExternalPrinter + Send>>;

pub(crate) async fn run(args: &Talk, output: &Output) -> Result<(), Failure> {
    if output.is_json {
        return Err(Failure::Input("talk is for people: tail and send have --json".into()));
    }
    let Connection { client, mut events } = args.connect.open().await?;
    if let Some(name) = &args.name {
        let info = Info::new(&json!({ "name": name }).to_string());
        client.set_info(Some(info.map_err(|error| Failure::Input(format!("--name: {error}")))?));
    }
    let room = client.join_with_history(&args.room, args.history);
    args.connect.join(&client, &args.room).await?;
    let mut stop = Stop::new();
    // Save the settings of the terminal before the editor changes them.
    let _terminal = Terminal::new();
    let (printer, mut lines) = editor()?;
    let event = args.event.clone();
    let (unsent, has_sent, failed) = (None, false, None);
    let mut talk = Talker { client, room, event, printer, output, unsent, has_sent, failed };
    talk.who()?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Closed(closing)) => {
                    return Err(Failure::closed(&args.connect.url, &closing));
                }
                Some(event) => {
                    talk.show(&event)?;
                    // Try to send first: if events kept arriving, the delay below would start again
                    // each time.
                    talk.send()?;
                }
                None => break,
            },
            line = lines.recv(), if talk.unsent.is_none() => match line {
                Some(Ok(line)) => if !talk.take(&line)? { break },
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {
                    stop.set();
                    break;
                }
                // The lines that were read before the error are still sent.
                Some(Err(error)) => {
                    talk.failed.get_or_insert(Failure::Input(format!("standard input: {error}")));
                    break;
                }
                None => break,
            },
            () = tokio::time::sleep(RETRY), if talk.unsent.is_some() => talk.send()?,
            () = stop.wait() => break,
        }
    }
    if talk.unsent.is_some() {
        talk.fail("a line was not sent".into());
    }
    if stop.close(&talk.client).await {
        // Only the close reports the messages that the server has not confirmed.
        while let Some(event) = events.next().await {
            talk.show(&event)?;
        }
    } else if talk.has_sent {
        talk.fail("the server does not answer: the last messages may not have arrived".into());
    }
    talk.failed.map_or(Ok(()), Err)
}

/// The settings of the terminal before the editor has changed them. If the conversation ends while
/// the editor waits for a key, the editor cannot restore them.
struct Terminal(Option<Termios>);

impl Terminal {
    fn new() -> Terminal {
        Terminal(tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Restoring fails only if the terminal was closed.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
            // Disable bracketed paste as well, and end the line that contains the prompt.
            let _ = writeln!(std::io::stdout(), "{PASTE_OFF}");
        }
    }
}

/// Reads lines in a separate thread, because the editor blocks while it waits for keys.
fn editor() -> Result<(Printer, Receiver<Line>), Failure> {
    let unusable = |error: ReadlineError| Failure::Input(format!("the terminal: {error}"));
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    if !io::stdin().is_terminal() {
        // A blocking read cannot be cancelled, so use a thread that the program need not wait for.
        thread::spawn(move || read_lines(io::stdin().lock(), &sender));
        return Ok((None, lines));
    }
    let mut editor = DefaultEditor::new().map_err(unusable)?;
    let printer = editor.create_external_printer().map_err(unusable)?;
    thread::spawn(move || {
        // The loop ends on Ctrl-C, Ctrl-D, or an error of the terminal.
        loop {
            let line = match editor.readline("> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => {
                    let _ = sender.blocking_send(Err(ErrorKind::Interrupted.into()));
                    return;
                }
                Err(_) => return,
            };
            let _ = editor.add_history_entry(&line);
            if sender.blocking_send(Ok(line.into_bytes())).is_err() {
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
    /// The message for which there is currently no space in the client's queue.
    unsent: Option<Outgoing>,
    has_sent: bool,
    /// The first failure that was reported. It determines the exit code.
    failed: Option<Failure>,
}

struct Outgoing {
    /// The receiver, if messages are sent to a single member.
    to: Option<ConnId>,
    text: Vec<u8>,
}

impl Talker<'_> {
    fn line(&mut self, line: String) -> Result<(), Failure> {
        match &mut self.printer {
            Some(printer) => {
                // The editor prints escape sequences unchanged, so remove colours here if
                // necessary.
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
            // Do not count this client, which is a member as well.
            members.count().saturating_sub(1)
        });
        lines.sort();
        self.line(match count {
            1 => "1 other member".into(),
            count => format!("{count} other members"),
        })?;
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Executes a line of input. Returns false if the line ends the conversation.
    fn take(&mut self, line: &[u8]) -> Result<bool, Failure> {
        match word(line) {
            (b"", _) => {}
            (b"/quit", _) => return Ok(false),
            (b"/who", _) => self.who()?,
            (b"/to", rest) => {
                let (id, text) = word(rest);
                if text.is_empty() {
                    self.line("/to ID TEXT".into())?;
                    return Ok(true);
                }
                let id = String::from_utf8_lossy(id);
                match self.member(&id) {
                    Some(id) => {
                        self.unsent = Some(Outgoing { to: Some(id), text: text.into() });
                        self.send()?;
                    }
                    None => self.line(format!("{id:?} matches no member, or more than one"))?,
                }
            }
            (command, _) if command.starts_with(b"/") && !command.starts_with(b"//") => {
                self.line("commands: /who, /to ID TEXT, /quit; // sends a /".into())?;
            }
            _ => {
                let text = if line.starts_with(b"//") { &line[1..] } else { line };
                self.unsent = Some(Outgoing { to: None, text: text.into() });
                self.send()?;
            }
        }
        Ok(true)
    }

    /// Sends the message in `unsent`. If the client's queue is full, the message stays there.
    fn send(&mut self) -> Result<(), Failure> {
        let Some(Outgoing { to, text }) = &self.unsent else { return Ok(()) };
        let sent = match to {
            Some(to) => self.room.send_to(to, WHISPER, text),
            None => self.room.send(&self.event, text),
        };
        match sent {
            Err(SendError::Full) => return Ok(()),
            Ok(_) => self.has_sent = true,
            Err(error) => {
                let text = format!("not sent: {error}");
                self.failed.get_or_insert(Failure::Input(text.clone()));
                self.line(text)?;
            }
        }
        self.unsent = None;
        Ok(())
    }

    fn fail(&mut self, text: String) {
        self.failed.get_or_insert(Failure::Refused(text));
    }

    /// Returns the member whose id begins with this text, if there is exactly one.
    fn member(&self, start: &str) -> Option<roomer_proto::ConnId> {
        self.room.with_members(|members| {
            let mut found = members.ids().filter(|id| id.as_str().starts_with(start));
            // A direct message must not reach another member by accident, so the id must be
            // unambiguous.
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
                self.status("connected again; nothing is lost".into())
            }
            Event::Missed { .. } => self.status("messages are missing".into()),
            Event::Lost(lost) => {
                let text = format!("may not have arrived: {}", readable(&lost.packet.payload));
                self.fail(text.clone());
                self.status(text)
            }
            Event::Error(error) => {
                let text = format!("{}: {}", error.code, error.message);
                // Other errors are not about messages. For example, the server does not permit the
                // name.
                if here(&error.room) && [&*self.event, WHISPER].contains(&&*error.event) {
                    self.fail(format!("the server rejects it: {text}"));
                }
                self.status(text)
            }
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

/// Splits a line after the first word. Spaces around both parts are removed.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii_start())
}
