//! A client's profile: its info and user, as sent to its rooms' members.

use roomer_hub::Profile;

use crate::app::claims::Credentials;
use crate::metrics::warning::{WarningReason, Warnings};
use crate::options::Options;

/// Returns the profile of a client with these credentials. Overlong info is omitted, with a
/// warning.
pub(super) fn profile(
    credentials: Option<&Credentials>,
    options: &Options,
    warnings: &Warnings,
) -> Option<Profile> {
    // Only extended members receive a profile.
    let mut profile = credentials?.profile().filter(|_| options.extended)?;
    let bytes = profile.info().map_or(0, |info| info.as_str().len());
    let limit = options.hub_limits.info;
    if bytes <= limit {
        return Some(profile);
    }
    warnings.give(WarningReason::InfoTooLong { bytes, limit });
    profile.set_info(None);
    (!profile.is_empty()).then_some(profile)
}
