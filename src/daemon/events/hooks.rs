//! Calls of webhooks: who may call, and what is told of a call.

use super::signature::{Unsigned, check};
use super::{Shared, away};
use crate::daemon::clock;
use crate::daemon::outside::secret_of;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tidemill_model::DagNo;
use tidemill_model::event::{EventSource, EventTrigger, Webhook};
use tidemill_store::{Happening, Refusal};
use tidemill_web::{HookCall, NotTaken};

/// Headers that let somebody in, here or elsewhere: no template sees them.
const HIDDEN: [&str; 6] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "webhook-signature",
    "x-hub-signature",
    "x-hub-signature-256",
];
/// More headers than this are not told.
const HEADERS_MAX: usize = 64;

impl Shared {
    /// Takes a call, and gives the name of the run that it has made; `None` where the trigger
    /// wants none.
    pub(super) async fn called(&self, call: HookCall) -> Result<Option<String>, NotTaken> {
        let (dag, trigger, webhook) = self.hook(&call).ok_or(NotTaken::Unknown)?;
        let max = webhook.max_bytes;
        if u64::try_from(call.body.len()).map_or(true, |size| size > max) {
            return Err(NotTaken::TooLarge { max });
        }
        let headers = named(&call);
        let key = self.verified(dag, &call, &trigger, &webhook, &headers);
        let key = key.await?;
        let body = String::from_utf8(call.body).map_err(|_| NotTaken::Odd {
            what: "the body is not UTF-8".to_string(),
        })?;
        let unavailable = |refusal: Refusal| match refusal {
            Refusal::Invalid { what } => NotTaken::Odd { what },
            Refusal::NotFound { .. } => NotTaken::Unknown,
            other => NotTaken::Later {
                why: other.to_string(),
            },
        };
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, &trigger.name, clock::now()).await;
        let record = record.map_err(away).map_err(unavailable)?;
        if record.is_paused {
            return Err(NotTaken::Later {
                why: "the trigger is paused".to_string(),
            });
        }
        let what = Happening {
            dag_id: call.dag_id,
            trigger: trigger.name,
            key,
            is_known: false,
            facts: told(&headers, call.query, body),
        };
        self.tell(dag, record.trigger, what)
            .await
            .map_err(unavailable)
    }

    /// Whose address it is.
    fn hook(&self, call: &HookCall) -> Option<(DagNo, EventTrigger, Webhook)> {
        let wanted = self.door.streams();
        let wanted = wanted.borrow();
        let one = wanted.iter().find(|one| one.definition.id == call.dag_id)?;
        let all = one.definition.event_triggers.iter();
        all.filter(|trigger| trigger.is_enabled)
            .find_map(|trigger| match &trigger.source {
                EventSource::Webhook(webhook) if webhook.path == call.path => {
                    Some((one.dag, trigger.clone(), webhook.clone()))
                }
                _ => None,
            })
    }

    async fn verified(
        &self,
        dag: DagNo,
        call: &HookCall,
        trigger: &EventTrigger,
        webhook: &Webhook,
        headers: &BTreeMap<String, String>,
    ) -> Result<String, NotTaken> {
        let secret = secret_of(&webhook.secret, &self.places, &self.keeper).await;
        let unusable = |why: String| {
            tracing::error!(
                dag.id = call.dag_id,
                trigger = trigger.name,
                why,
                "A webhook has no key; its calls are refused"
            );
            self.note(dag, &trigger.name, |told| told.why = Some(why));
            NotTaken::Later {
                why: "this webhook is not set up".to_string(),
            }
        };
        let secret = secret.map_err(unusable)?;
        let now = clock::now();
        match check(webhook, secret.expose(), headers, &call.body, now) {
            Ok(key) => Ok(key),
            Err(Unsigned::Key) => Err(unusable(format!(
                "`{}` must be a key of at least 16 bytes",
                webhook.secret
            ))),
            Err(why) => {
                let why = why.to_string();
                tracing::warn!(
                    dag.id = call.dag_id,
                    trigger = trigger.name,
                    why,
                    "A call of a webhook was refused"
                );
                Err(NotTaken::Unsigned { why })
            }
        }
    }
}

/// The headers by name, the first of each.
fn named(call: &HookCall) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in call.headers.iter().take(HEADERS_MAX) {
        let name = name.to_ascii_lowercase();
        found.entry(name).or_insert_with(|| value.clone());
    }
    found
}

/// What templates see as `trigger`.
fn told(
    headers: &BTreeMap<String, String>,
    query: Vec<(String, String)>,
    body: String,
) -> Map<String, Value> {
    let shown = headers
        .iter()
        .filter(|(name, _)| !HIDDEN.contains(&name.as_str()));
    let headers: Map<String, Value> = shown
        .map(|(name, value)| (name.clone(), Value::from(value.clone())))
        .collect();
    let query: Map<String, Value> = query
        .into_iter()
        .map(|(name, value)| (name, Value::from(value)))
        .collect();
    [
        ("type", json!("webhook")),
        ("headers", Value::Object(headers)),
        ("query", Value::Object(query)),
        ("body", Value::from(body)),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into_iter()
    .collect()
}
