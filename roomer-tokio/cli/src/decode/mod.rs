//! `roomer decode`: prints the packets in captured bytes.

mod packets;
mod source;

use std::fs;
use std::io::Read;

use crate::args::Decode;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Decode, output: &Output) -> Result<(), Failure> {
    let (name, text) = match &args.file {
        Some(file) => (file.display().to_string(), fs::read(file)),
        None => ("standard input".into(), {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        }),
    };
    let wrong = |why: String| Failure::Input(format!("{name}: {why}"));
    let text = text.map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(text)
        .map_err(|_| wrong("not text: give hexadecimal digits, a hex dump or a HAR file".into()))?;
    // Editors on Windows write a byte order mark before UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let pieces = source::pieces(text, args.bytes).map_err(wrong)?;
    let mut reader = packets::Reader::new(output);
    for piece in pieces {
        reader.read(piece)?;
    }
    reader.end()
}
