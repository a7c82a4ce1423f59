//! How the daemon is: for people who are called at night, and as Prometheus text.

use std::fmt::Write;
use std::sync::Arc;

use obol_kms_registry::PayloadType;

use crate::daemon::Shared;
use crate::engine::{BUCKETS_US, Outcome};
use crate::error::ErrorClass;
use crate::gate::Health;

/// Reads what the daemon counts; cheap to clone.
#[derive(Clone)]
pub struct Monitor(pub(super) Arc<Shared>);

/// Whether the daemon can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What keeps it from signing, one line each; empty when nothing does.
    pub faults: Vec<String>,
    /// What a person should look at although it signs, one line each.
    pub warnings: Vec<String>,
}

impl Monitor {
    /// How it is now.
    pub fn report(&self) -> Report {
        let mut report = Report {
            faults: Vec::new(),
            warnings: Vec::new(),
        };
        for token in self.0.engine.tokens() {
            let label = token.label;
            match token.health {
                Health::Ready => {}
                Health::Degraded { reason, .. } => {
                    report
                        .faults
                        .push(format!("token {label:?} is degraded: {reason}"));
                }
                Health::Sealed { reason } => {
                    report
                        .faults
                        .push(format!("token {label:?} is sealed: {reason}"));
                }
            }
        }
        let audit = self.0.engine.audit();
        if let Some(why) = audit.stopped {
            report
                .faults
                .push(format!("the audit log has stopped: {why}"));
        }
        report.warnings.extend(audit.unsigned);
        report.warnings.extend(audit.unwitnessed);
        report
    }

    /// Prometheus text (version 0.0.4): numbers, labels of tokens, no clients, no payloads.
    ///
    /// # Panics
    /// Never: a string takes what is written.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("a string takes what is written");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.write_tokens(text)?;
        self.write_requests(text)?;
        self.write_latency(text)?;
        self.write_audit(text)
    }

    fn write_tokens(&self, text: &mut String) -> std::fmt::Result {
        let tokens = self.0.engine.tokens();
        heading(
            text,
            "obol_kms_token_state",
            "gauge",
            "1 for the state that the token is in.",
        )?;
        for token in &tokens {
            let now = match token.health {
                Health::Ready => "ready",
                Health::Degraded { .. } => "degraded",
                Health::Sealed { .. } => "sealed",
            };
            for state in ["ready", "degraded", "sealed"] {
                let (label, value) = (&token.label, u8::from(state == now));
                writeln!(
                    text,
                    "obol_kms_token_state{{token={label:?},state=\"{state}\"}} {value}"
                )?;
            }
        }
        heading(
            text,
            "obol_kms_token_restarts_total",
            "counter",
            "Worker processes started again.",
        )?;
        for token in &tokens {
            let (label, value) = (&token.label, token.restarts);
            writeln!(
                text,
                "obol_kms_token_restarts_total{{token={label:?}}} {value}"
            )?;
        }
        heading(
            text,
            "obol_kms_token_errors_total",
            "counter",
            "Failed PKCS#11 calls by class.",
        )?;
        for token in &tokens {
            for (class, value) in ErrorClass::ALL.iter().zip(token.errors) {
                let (label, class) = (&token.label, class.name());
                writeln!(
                    text,
                    "obol_kms_token_errors_total{{token={label:?},class=\"{class}\"}} {value}"
                )?;
            }
        }
        heading(
            text,
            "obol_kms_queue_depth",
            "gauge",
            "Requests that wait for a thread.",
        )?;
        for (token, queue) in tokens.iter().zip(&self.0.queues) {
            let (label, value) = (&token.label, queue.waiting());
            writeln!(text, "obol_kms_queue_depth{{token={label:?}}} {value}")?;
        }
        Ok(())
    }

    fn write_requests(&self, text: &mut String) -> std::fmt::Result {
        heading(
            text,
            "obol_kms_requests_total",
            "counter",
            "Requests that reached the engine, by payload type and outcome.",
        )?;
        for payload in PayloadType::ALL {
            for outcome in Outcome::ALL {
                let value = self.0.engine.figures().requests(*payload, outcome);
                let outcome = outcome.name();
                writeln!(
                    text,
                    "obol_kms_requests_total{{payload=\"{payload}\",outcome=\"{outcome}\"}} {value}"
                )?;
            }
        }
        Ok(())
    }

    fn write_latency(&self, text: &mut String) -> std::fmt::Result {
        const NAME: &str = "obol_kms_sign_seconds";
        heading(
            text,
            NAME,
            "histogram",
            "Time in the engine of requests that were signed.",
        )?;
        let reading = self.0.engine.figures().signed();
        let mut count = 0;
        for (bound, bucket) in BUCKETS_US.iter().zip(reading.buckets) {
            count += bucket;
            let bound = *bound as f64 / 1e6;
            writeln!(text, "{NAME}_bucket{{le=\"{bound}\"}} {count}")?;
        }
        count += reading.buckets[BUCKETS_US.len()];
        writeln!(text, "{NAME}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(text, "{NAME}_sum {}", reading.sum_us as f64 / 1e6)?;
        writeln!(text, "{NAME}_count {count}")
    }

    fn write_audit(&self, text: &mut String) -> std::fmt::Result {
        let audit = self.0.engine.audit();
        let gauges = [
            (
                "obol_kms_audit_leaves",
                "Leaves that are durable.",
                audit.leaves,
            ),
            (
                "obol_kms_audit_signed",
                "Leaves that the last signed checkpoint covers.",
                audit.signed,
            ),
            (
                "obol_kms_audit_witnessed",
                "Leaves that the last witnessed checkpoint covers.",
                audit.witnessed,
            ),
            (
                "obol_kms_audit_unwitnessed",
                "1 when the witness was away or refused the log at the last turn.",
                u64::from(audit.unwitnessed.is_some()),
            ),
            (
                "obol_kms_audit_stopped",
                "1 when nothing is appended, and so nothing is signed.",
                u64::from(audit.stopped.is_some()),
            ),
        ];
        for (name, help, value) in gauges {
            heading(text, name, "gauge", help)?;
            writeln!(text, "{name} {value}")?;
        }
        Ok(())
    }
}

fn heading(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}
