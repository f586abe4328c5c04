//! The types of options' values, and their syntax.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use roomer_tokio::BrokerAddress;

/// A value that has not been parsed yet: text from a flag or a variable, or a typed value from the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Text(String),
    Number(String),
    Toggle(bool),
    List(Vec<String>),
}

/// A type of value. Its errors show an example of a valid value.
pub(crate) trait Setting: Sized {
    /// The placeholder for the value in the help.
    const FORM: &str;
    const IS_LIST: bool = false;

    fn parse(text: &str) -> Result<Self, String>;

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) | Raw::Number(text) => Self::parse(text),
            Raw::Toggle(toggle) => Self::parse(if *toggle { "true" } else { "false" }),
            Raw::List(_) => Err("takes one value, not a list".into()),
        }
    }
}

fn wrong(text: &str, form: &str) -> String {
    format!("{text:?} is not {form}")
}

impl Setting for String {
    const FORM: &str = "TEXT";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Ok(text.clone()),
            // A number or a switch where text is expected is usually a mistake.
            _ => Err("write text, in quotation marks".into()),
        }
    }
}

impl Setting for PathBuf {
    const FORM: &str = "FILE";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("write the path of a file".into()),
            path => Ok(path.into()),
        }
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        String::read(raw).and_then(|text| Self::parse(&text))
    }
}

impl Setting for bool {
    const FORM: &str = "true|false";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| wrong(text, "a switch: write true or false"))
    }
}

impl Setting for usize {
    const FORM: &str = "N";

    fn parse(text: &str) -> Result<Self, String> {
        // TOML permits underscores in numbers.
        let number = text.replace('_', "");
        number.parse().map_err(|_| wrong(text, "a number: write digits, such as 1000"))
    }
}

impl Setting for SocketAddr {
    const FORM: &str = "ADDR";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            wrong(text, "an address and a port: write 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080")
        })
    }
}

impl Setting for BrokerAddress {
    const FORM: &str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        // The error must not contain the text, since the text may contain a password.
        text.parse().map_err(|error| format!("{error}"))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl Setting for Size {
    const FORM: &str = "SIZE";

    fn parse(text: &str) -> Result<Self, String> {
        let error = || wrong(text, "a size: write bytes, or a unit as in 64 KiB, 16 MiB or 1 GiB");
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(error()),
        };
        let number: usize = number.replace('_', "").parse().map_err(|_| error())?;
        // If the product overflowed, the limit would be far too small.
        number.checked_mul(factor).map(Size).ok_or_else(error)
    }
}

/// A minimum size in bytes, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threshold {
    From(Size),
    Never,
}

impl Setting for Threshold {
    const FORM: &str = "SIZE";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Threshold::Never),
            text => Size::parse(text).map(Threshold::From).map_err(|_| {
                wrong(
                    text,
                    "a size from which messages are compressed: write bytes, such as 512, or off",
                )
            }),
        }
    }
}

impl Setting for Duration {
    const FORM: &str = "TIME";

    fn parse(text: &str) -> Result<Self, String> {
        let error = || wrong(text, "a time: write seconds, or a unit as in 500ms, 30s, 5m or 2h");
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(error()),
        };
        let number: f64 = number.parse().map_err(|_| error())?;
        // This rejects values that `f64` also parses: negative and infinite numbers, and `nan`.
        Duration::try_from_secs_f64(number * factor).map_err(|_| error())
    }
}

/// The maximum rate for a client: an average and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Setting for Rate {
    const FORM: &str = "RATE";

    fn parse(text: &str) -> Result<Self, String> {
        let error = || {
            wrong(
                text,
                "a rate: write how many per second, such as 50, or with a burst, such as 50 burst 200",
            )
        };
        let number = |text: &str| match text.trim().replace('_', "").parse() {
            // A rate of 0 would permit no message at all. For that, `publish = "none"` is clearer.
            Ok(number) if number > 0 => Ok(number),
            _ => Err(error()),
        };
        match text.split_once("burst") {
            Some((rate, burst)) => Ok(Rate { per_second: number(rate)?, burst: number(burst)? }),
            None => {
                let per_second: u32 = number(text)?;
                Ok(Rate { per_second, burst: per_second.saturating_mul(4) })
            }
        }
    }
}

/// Empty text means that the option has no value.
impl<T: Setting> Setting for Option<T> {
    const FORM: &str = T::FORM;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            text => T::parse(text).map(Some),
        }
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) if text.is_empty() => Ok(None),
            raw => T::read(raw).map(Some),
        }
    }
}

/// As text, the items of a list are separated by commas.
impl<T: Setting> Setting for Vec<T> {
    const FORM: &str = T::FORM;
    const IS_LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        // Empty text means an empty list, so that a flag or a variable can clear a list in the
        // file.
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(T::parse).collect()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::List(items) => items.iter().map(|item| T::parse(item)).collect(),
            Raw::Text(text) => Self::parse(text),
            _ => Err("write a list of texts, such as [\"one\", \"two\"]".into()),
        }
    }
}

/// Defines an enum whose values are written as names in the configuration.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
        pub(crate) enum $name { $($(#[$about])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Returns the name of the value in configurations.
            #[allow(dead_code, reason = "not all choices are printed")]
            pub(crate) fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }

        impl $crate::serve::config::setting::Setting for $name {
            // `concat!` cannot omit the separator in front of the first name.
            const FORM: &str = $crate::serve::config::setting::strip_first(concat!($("|", $text),*));

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(format!("{text:?} is unknown: write one of {}", Self::FORM)),
                }
            }
        }
    };
}
pub(crate) use choice;

/// Returns a text without its first byte, for the macro `choice`.
pub(crate) const fn strip_first(text: &'static str) -> &'static str {
    text.split_at(1).1
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..unit].trim_end(), &text[unit..])
}

/// Formats a value as TOML.
pub(crate) fn to_toml(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) => quoted(text),
        Raw::Number(text) => text.clone(),
        Raw::Toggle(toggle) => toggle.to_string(),
        Raw::List(items) => {
            format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            // Without an escape, a quotation mark would end the string, and a backslash would begin
            // an escape.
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_rates_have_units() {
        assert_eq!(Size::parse("64 KiB"), Ok(Size(65536)));
        assert_eq!(Size::parse("1_000"), Ok(Size(1000)));
        assert!(Size::parse("64KB").is_err() && Size::parse("-1").is_err());
        assert!(Size::parse("99999999999 GiB").is_err());
        assert_eq!(Duration::parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(Duration::parse("2h"), Ok(Duration::from_secs(7200)));
        for text in ["-1s", "nan", "inf", "1 week", "", "1e400"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("50"), Ok(Rate { per_second: 50, burst: 200 }));
        assert_eq!(Rate::parse("5 burst 9"), Ok(Rate { per_second: 5, burst: 9 }));
        assert!(Rate::parse("0").is_err() && Rate::parse("5 burst").is_err());
    }

    #[test]
    fn text_round_trips_as_toml() {
        let text = "a\"b\\c\nd\u{7}ä";
        let written = format!("x = {}", to_toml(&Raw::Text(text.into())));
        let table = toml::de::DeTable::parse(&written).unwrap();
        assert_eq!(table.get_ref()["x"].get_ref().as_str(), Some(text));
    }
}
