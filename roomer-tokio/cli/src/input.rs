//! Reads lines from standard input. The length of a line is limited.

use std::io::{self, BufRead, ErrorKind, Read};

use tokio::sync::mpsc::Sender;

/// The maximum length of a line in bytes, including its line break. Without a limit, input without
/// line breaks would exhaust the memory.
const MAX_LINE: usize = 64 << 20;

/// The maximum number of lines that are read before they can be sent. Further input must wait.
pub(crate) const LINES_AHEAD: usize = 16;

/// A line of input, or the error that has ended the input. Ctrl-C is [`ErrorKind::Interrupted`].
pub(crate) type Line = io::Result<Vec<u8>>;

/// Returns the number of bytes that may still be read into a line: one more than the maximum, which
/// shows that the line is too long.
pub(crate) fn room_in_line(line: &[u8]) -> u64 {
    (MAX_LINE + 1).saturating_sub(line.len()) as u64
}

/// Returns an error if the line is too long.
pub(crate) fn check_line(line: &[u8]) -> io::Result<()> {
    if line.len() <= MAX_LINE {
        return Ok(());
    }
    let text = format!("a line is longer than {} MiB: insert line breaks", MAX_LINE >> 20);
    Err(io::Error::new(ErrorKind::InvalidData, text))
}

/// Reads lines as bytes, since a payload need not be text. Waits while the channel is full.
pub(crate) fn read_lines(mut input: impl BufRead, sender: &Sender<Line>) {
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(room_in_line(&line)).read_until(b'\n', &mut line);
        let line = match read.and_then(|_| check_line(&line)) {
            Ok(()) if line.is_empty() => return,
            Ok(()) => {
                if line.pop_if(|last| *last == b'\n').is_some() {
                    line.pop_if(|last| *last == b'\r');
                }
                Ok(line)
            }
            Err(error) => Err(error),
        };
        let is_last = line.is_err();
        if sender.blocking_send(line).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use tokio::sync::mpsc;

    use super::*;

    /// Endless input that returns one line per call.
    struct Yes(Arc<AtomicUsize>);

    impl Read for Yes {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            bytes[..2].copy_from_slice(b"y\n");
            Ok(2)
        }
    }

    #[test]
    fn input_is_read_few_lines_ahead() {
        let count = Arc::new(AtomicUsize::new(0));
        let (sender, mut lines) = mpsc::channel(LINES_AHEAD);
        let input = BufReader::new(Yes(count.clone()));
        let reader = thread::spawn(move || read_lines(input, &sender));
        for taken in 1..10_000 {
            assert_eq!(lines.blocking_recv().unwrap().unwrap(), b"y");
            // The reader may hold one more line, which it cannot pass on yet.
            assert!(count.load(Ordering::SeqCst) <= taken + LINES_AHEAD + 1);
        }
        drop(lines);
        reader.join().unwrap();
    }

    #[test]
    fn unterminated_line_is_bounded() {
        let (sender, mut lines) = mpsc::channel(LINES_AHEAD);
        let input = BufReader::new((&b"a\n"[..]).chain(io::repeat(b'x')));
        let reader = thread::spawn(move || read_lines(input, &sender));
        assert_eq!(lines.blocking_recv().unwrap().unwrap(), b"a");
        let error = lines.blocking_recv().unwrap().unwrap_err();
        assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
        assert!(lines.blocking_recv().is_none());
        reader.join().unwrap();
    }
}
