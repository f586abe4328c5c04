//! Reads options from environment variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::serve::config::options::{Entry, TABLE};
use crate::serve::config::setting::Raw;
use crate::serve::config::values::{Place, Problem, Values, sections, unknown};

/// The prefix of all options' variables.
const PREFIX: &str = "ROOMER_";

/// The number of characters per wrong character in a misspelled name. If more are wrong, the name
/// belongs to another program.
const LETTERS_PER_MISTAKE: usize = 4;

/// The maximum number of wrong characters in a misspelled name, such as the three in `PROXIES` for
/// `PROXY`.
const MAX_MISTAKES: usize = 3;

impl Values {
    /// Reads the environment variables. A variable that has the prefix of a section, or nearly the
    /// name of an option, is an error if it is not an option: otherwise a missing limit might be
    /// noticed too late. All others may belong to other programs.
    pub(crate) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
        problems: &mut Vec<Problem>,
    ) {
        let known: BTreeMap<String, &Entry> =
            TABLE.iter().map(|entry| (entry.variable(), entry)).collect();
        for (name, value) in variables {
            // The names of options are ASCII, so a name that is not UTF-8 cannot be one.
            let Ok(name) = name.into_string() else { continue };
            let place = Place::Variable(name.clone());
            let problem = |text: String| Problem { place: place.clone(), key: String::new(), text };
            match known.get(&name) {
                Some(entry) => match value.into_string() {
                    Ok(value) => self.set(entry, Raw::Text(value), place),
                    Err(_) => problems.push(problem("is not UTF-8".into())),
                },
                None if is_of_kubernetes(&name, &value) => {}
                None => problems.extend(misspelled(&name).map(problem)),
            }
        }
    }
}

/// Returns true for a variable with the address of a service, such as those that Kubernetes sets in
/// each container of a namespace. A service called `roomer-log` causes `ROOMER_LOG_SERVICE_HOST`,
/// `ROOMER_LOG_PORT_80_TCP_ADDR` and others.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |words: &[&str]| match words {
        ["PORT", number, "TCP" | "UDP" | "SCTP", rest @ ..] => {
            number.parse::<u16>().is_ok() && matches!(rest, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    };
    // The value of this one is a URL. With another value, such as 9090, it was written for roomer.
    (name.ends_with("_PORT") && value.to_string_lossy().contains("://"))
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (0..words.len()).any(|at| is_port(&words[at..]))
}

/// Returns what to write instead of a variable that is not an option. Returns `None` if the variable
/// belongs to another program.
fn misspelled(name: &str) -> Option<String> {
    let bare = name.strip_prefix(PREFIX)?;
    let has_section = |section: &&str| {
        bare.strip_prefix(&*section.to_uppercase()).is_some_and(|rest| rest.starts_with('_'))
    };
    let of_section = sections().find(has_section).map(unknown);
    let max_mistakes = (bare.len() / LETTERS_PER_MISTAKE).min(MAX_MISTAKES);
    let distances = TABLE.iter().map(|entry| {
        let variable = entry.variable();
        (strsim::osa_distance(name, &variable), variable)
    });
    let nearest = distances.filter(|(mistakes, _)| *mistakes <= max_mistakes).min();
    match (nearest, of_section) {
        (Some((_, variable)), Some(unknown)) => Some(format!("{unknown}; write {variable}")),
        (Some((_, variable)), None) => Some(format!(
            "unknown: write {variable}, or rename this variable if it belongs to another program"
        )),
        (None, of_section) => of_section,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the problem with a variable, if there is one.
    fn problem(name: &str, value: &str) -> Option<String> {
        let mut problems = Vec::new();
        let variables = [(name.into(), value.into())].into_iter();
        Values::new().read_environment(variables, &mut problems);
        problems.pop().map(|problem| problem.text)
    }

    #[test]
    fn services_of_kubernetes_are_ignored() {
        let names = sections().map(|section| format!("_{}", section.to_uppercase()));
        for service in names.chain(["", "_LISTEN", "_ORIGIN", "_OPERATOR_PORT"].map(Into::into)) {
            for (end, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "80"),
                ("SERVICE_PORT_HTTP_ADMIN", "80"),
                ("PORT", "tcp://10.0.0.1:80"),
                ("PORT_80_TCP", "tcp://10.0.0.1:80"),
                ("PORT_80_TCP_PROTO", "tcp"),
                ("PORT_80_UDP_PORT", "80"),
                ("PORT_80_SCTP_ADDR", "10.0.0.1"),
            ] {
                let name = format!("ROOMER{service}_{end}");
                assert_eq!(problem(&name, value), None, "{name}");
            }
        }
        for entry in TABLE {
            assert!(!is_of_kubernetes(&entry.variable(), "tcp://".as_ref()), "{}", entry.key);
        }
        for name in ["ROOMER_OPERATOR_PORT", "ROOMER_LOG_PORT_X_TCP", "ROOMER_LOG_PORT_80_TCP_X"] {
            assert!(problem(name, "9090").is_some(), "{name}");
        }
    }

    #[test]
    fn misspelled_variables_are_rejected_with_nearest_name() {
        for (name, nearest) in [
            ("ROOMER_ORIGIN", "ROOMER_ORIGINS"),
            ("ROOMER_TRUST_PROXIES", "ROOMER_TRUST_PROXY"),
            ("ROOMER_ANONYMUS", "ROOMER_ANONYMOUS"),
            ("ROOMER_LISETN", "ROOMER_LISTEN"),
            ("ROOMER_LIMIT_MAX_ROOMS", "ROOMER_LIMITS_MAX_ROOMS"),
            ("ROOMER_LIMITS_MAX_ROOM", "ROOMER_LIMITS_MAX_ROOMS"),
            ("ROOMER_WEBHOOK_SECRET", "ROOMER_WEBHOOKS_SECRET"),
            ("ROOMER_JWTSECRET", "ROOMER_JWT_SECRET"),
        ] {
            let text = problem(name, "x").unwrap_or_else(|| panic!("{name} is accepted"));
            assert!(text.contains(&format!("write {nearest}")), "{name}: {text}");
        }
        // The command line's own variable, and others' variables.
        for name in ["ROOMER_TOKEN", "ROOMER_IMAGE", "ROOMER_HOME", "ROOMER_VERSION", "ORIGINS"] {
            assert_eq!(problem(name, "x"), None, "{name}");
        }
    }
}
