//! A timer that wakes the poll loop more precisely than its timeout in whole milliseconds.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// The token of the alarm's events. No connection has this token.
pub const ALARM: Token = Token(usize::MAX);

#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Alarm(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Alarm {
    pub fn new(registry: &Registry) -> io::Result<Alarm> {
        use std::os::fd::AsRawFd as _;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let raw = timer.as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&raw), ALARM, mio::Interest::READABLE)?;
        Ok(Alarm(timer))
    }

    /// Sets the alarm, which then expires once after `wait`. Replaces an earlier setting.
    pub fn set(&self, wait: Duration) -> io::Result<Option<Duration>> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        // A time of zero would disarm the timer.
        let wait = wait.max(Duration::from_nanos(1));
        let it_value =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval, it_value },
        )?;
        Ok(None)
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub fn new(_: &Registry) -> io::Result<Alarm> {
        Ok(Alarm)
    }

    /// This system has no alarm. Returns how long the poll loop must wait instead.
    pub fn set(&self, wait: Duration) -> io::Result<Option<Duration>> {
        Ok(Some(wait))
    }
}
