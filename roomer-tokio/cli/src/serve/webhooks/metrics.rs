//! The counters of the webhooks, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Webhooks;
use super::call::Call;

impl Webhooks {
    /// Returns the counters of the webhooks that are configured.
    pub(crate) fn to_prometheus(&self) -> String {
        let calls = [
            self.authorize.as_ref().map(|webhook| &webhook.call),
            self.may_join.as_ref().map(|webhook| &webhook.call),
            self.events.as_ref().map(|webhook| &webhook.call),
        ];
        let calls: Vec<&Call> = calls.into_iter().flatten().map(|call| &**call).collect();
        let mut page = String::new();
        if calls.is_empty() {
            return page;
        }
        let name = "roomer_webhook_requests_total";
        head(&mut page, name, "counter", "Requests to webhooks by result.");
        for call in calls {
            let counts = &call.counts;
            for (result, count) in [
                ("accepted", &counts.accepted),
                ("refused", &counts.refused),
                ("failed", &counts.failed),
            ] {
                let labels = format!("{{webhook=\"{}\",result=\"{result}\"}}", call.name);
                line(&mut page, name, &labels, count);
            }
        }
        if let Some(events) = &self.events {
            let name = "roomer_webhook_events_total";
            head(&mut page, name, "counter", "Events by result.");
            line(&mut page, name, "{result=\"delivered\"}", &events.counts.delivered);
            line(&mut page, name, "{result=\"dropped\"}", &events.counts.dropped);
            let name = "roomer_webhook_events_waiting";
            head(&mut page, name, "gauge", "Events that are not delivered yet.");
            line(&mut page, name, "", &events.counts.waiting);
        }
        page
    }
}

// Writing to a string cannot fail.
fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(page: &mut String, name: &str, labels: &str, count: &AtomicU64) {
    let _ = writeln!(page, "{name}{labels} {}", count.load(Ordering::Relaxed));
}
