//! The attempt: requests one after the other, each judged.

use super::answer::{self, Place, again, broken};
use super::client::Clients;
use super::config::{Config, Pagination};
use super::guard::Allowed;
use super::request::{Ask, read_url};
use crate::operator::{Done, End, Failure, Job, NewFile, Results};
use reqwest::header::LOCATION;
use reqwest::{Client, Response};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer in memory is not larger unless the file says so.
const SIZE_MAX_IN_MEMORY: u64 = 8 * 1024 * 1024;
/// The same for one that goes to a file.
const SIZE_MAX_IN_FILE: u64 = 10 * 1024 * 1024 * 1024;
/// Longer chains of redirects are circles.
const REDIRECTS_MAX: u32 = 10;

/// What all attempts of a worker share.
pub(crate) struct Http {
    allowed: Allowed,
    clients: Clients,
}

impl Http {
    /// Requests may go where `allowed` lets them.
    pub(crate) fn new(allowed: Allowed) -> Http {
        Http {
            allowed,
            clients: Clients::default(),
        }
    }
}

/// One attempt, or one look of it.
pub(super) struct Attempt<'j> {
    pub(super) job: &'j Job,
    pub(super) config: &'j Config,
    client: Client,
    allowed: Allowed,
}

/// Sends the requests of a task and judges their answers.
pub(crate) async fn run(http: Arc<Http>, job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    ask(&http, &job, &config).await
}

/// Sends the requests of these settings and judges their answers.
pub(crate) async fn ask(http: &Http, job: &Job, config: &Config) -> Result<Done, End> {
    let ca_file = config.ca_file.as_ref();
    let ca_file = ca_file.map(|path| job.dag_dir().join(path));
    let client = http.clients.get(ca_file.as_deref(), &http.allowed)?;
    let total = config.total_timeout.map(Duration::from_millis);
    let attempt = Attempt {
        job,
        config,
        client,
        allowed: http.allowed.clone(),
    };
    let work = attempt.work();
    match total {
        None => work.await,
        Some(total) => tokio::time::timeout(total, work).await.unwrap_or_else(|_| {
            let message = format!("not done within `total_timeout`, {} s", total.as_secs_f64());
            Err(Failure::refused(message).into())
        }),
    }
}

impl Attempt<'_> {
    async fn work(&self) -> Result<Done, End> {
        let ask = Ask::new(self.job, self.config)?;
        match (&self.config.pagination, &self.config.wait) {
            (_, Some(wait)) => self.submit(ask, wait).await,
            (Some(pagination), None) => self.pages(ask, pagination).await,
            (None, None) => self.one(ask).await,
        }
    }

    async fn one(&self, ask: Ask) -> Result<Done, End> {
        let path = self.config.save_to.as_ref();
        let path = path
            .map(|path| self.job.text("save_to", path))
            .transpose()?;
        let (results, saved) = match path {
            None => (self.answer(ask, Place::Memory).await?, None),
            Some(path) => {
                let mut file = NewFile::create(self.job, &path).await?;
                let results = self.answer(ask, Place::File(&mut file)).await?;
                (results, Some(saved(file, None).await?))
            }
        };
        let output = match (&self.config.response_filter, saved) {
            (Some(filter), _) => self.job.look("response_filter", filter, &results)?,
            (None, Some(saved)) => saved,
            (None, None) => results["response"]["text"].clone(),
        };
        Ok(done(output, &results))
    }

    /// All pages. Their items are one list, or the lines of one file.
    async fn pages(&self, mut ask: Ask, pagination: &Pagination) -> Result<Done, End> {
        let path = self.config.save_to.as_ref();
        let path = path
            .map(|path| self.job.text("save_to", path))
            .transpose()?;
        let mut file = match path {
            Some(path) => Some(NewFile::create(self.job, &path).await?),
            None => None,
        };
        let mut all = Vec::new();
        let mut n_items = 0u64;
        let mut n_pages = 0;
        let results = loop {
            let results = self.answer(ask.clone(), Place::Memory).await?;
            n_pages += 1;
            let items = self.items(&results)?;
            n_items += items.len() as u64;
            match &mut file {
                Some(file) => file.write(lines(&items).as_bytes()).await?,
                None => all.extend(items),
            }
            match self.next(&ask, pagination, &results)? {
                None => break results,
                Some(_) if n_pages >= pagination.max_pages => {
                    let message = format!("more than max_pages, {n_pages}");
                    return Err(Failure::bad_output(message).for_good().into());
                }
                Some(next) => ask.url = next,
            }
        };
        let output = match file {
            Some(file) => saved(file, Some(n_items)).await?,
            None => Value::Array(all),
        };
        Ok(done(output, &results))
    }

    /// What one page holds: a list, or one thing.
    fn items(&self, results: &Results) -> Result<Vec<Value>, Failure> {
        let page = match &self.config.response_filter {
            Some(filter) => self.job.look("response_filter", filter, results)?,
            None => results["response"]["json"].clone(),
        };
        Ok(match page {
            Value::Array(items) => items,
            one => vec![one],
        })
    }

    /// The address of the page after this one; it may be relative.
    fn next(
        &self,
        ask: &Ask,
        pagination: &Pagination,
        results: &Results,
    ) -> Result<Option<reqwest::Url>, Failure> {
        let next = self
            .job
            .look("pagination.next", &pagination.next, results)?;
        let text = match next {
            Value::String(text) => text,
            Value::Null | Value::Bool(false) => return Ok(None),
            other => {
                let message = format!("pagination.next must be an address or null, it is {other}");
                return Err(Failure::bad_output(message));
            }
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let joined = ask.url.join(text.trim());
        let url = joined.map_err(|err| Failure::bad_output(format!("pagination.next: {err}")))?;
        if url == ask.url {
            let message = "pagination.next is the page itself: this would never end";
            return Err(Failure::bad_output(message).for_good());
        }
        if url.origin() != ask.url.origin() {
            // What was meant for one server is not told to another.
            let message = format!(
                "pagination.next leads to another server, {}",
                url.origin().ascii_serialization()
            );
            return Err(Failure::bad_output(message).for_good());
        }
        read_url(url.as_str()).map(Some)
    }

    /// Sends one request, follows redirects if it may, reads and judges the answer.
    pub(super) async fn answer(&self, ask: Ask, place: Place<'_>) -> Result<Results, Failure> {
        let check = self.config.response_check.as_deref();
        self.answer_that(ask, place, check).await
    }

    /// The same with another check.
    pub(super) async fn answer_that(
        &self,
        mut ask: Ask,
        place: Place<'_>,
        check: Option<&str>,
    ) -> Result<Results, Failure> {
        let timeout = Duration::from_millis(self.config.timeout);
        let mut n_redirects = 0;
        loop {
            let begun = Instant::now();
            let answer = self.send(&ask, timeout).await?;
            let status = answer.status().as_u16();
            let location = answer
                .headers()
                .get(LOCATION)
                .filter(|_| matches!(status, 301..=303 | 307 | 308));
            let follows = self.config.follow_redirects;
            match location.filter(|_| follows) {
                None => {
                    let place = if (200..300).contains(&status) {
                        place
                    } else {
                        Place::Memory
                    };
                    let is_saved = matches!(place, Place::File(_));
                    let size_max = self.config.max_size.unwrap_or(if is_saved {
                        SIZE_MAX_IN_FILE
                    } else {
                        SIZE_MAX_IN_MEMORY
                    });
                    let results = answer::read(answer, place, size_max, begun).await?;
                    self.judge(status, &results, check)?;
                    return Ok(results);
                }
                Some(_) if n_redirects == REDIRECTS_MAX => {
                    let message = format!("{}: more than {REDIRECTS_MAX} redirects", ask.url);
                    return Err(Failure::refused(message).for_good());
                }
                Some(location) => {
                    n_redirects += 1;
                    let text = String::from_utf8_lossy(location.as_bytes()).into_owned();
                    let joined = ask.url.join(&text);
                    let next = joined.map_err(|err| {
                        Failure::refused(format!("{}: a redirect to nowhere: {err}", ask.url))
                    })?;
                    ask = ask.redirected(status, read_url(next.as_str())?);
                }
            }
        }
    }

    async fn send(&self, ask: &Ask, timeout: Duration) -> Result<Response, Failure> {
        // A name is looked up and checked by the client; an address in the URL is not.
        let host = ask.url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let checked = self.allowed.check(address);
            checked.map_err(|why| Failure::refused(format!("{}: {why}", ask.url)).for_good())?;
        }
        let mut request = self
            .client
            .request(ask.method.clone(), ask.url.clone())
            .headers(ask.headers.clone())
            .timeout(timeout);
        if let Some((login, password)) = &ask.auth {
            request = request.basic_auth(login, Some(password.expose()));
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|err| broken(ask.url.as_str(), &err.without_url()))?;
        self.job
            .note(&format!("{} {}: {}", ask.method, ask.url, answer.status()));
        Ok(answer)
    }

    fn judge(&self, status: u16, results: &Results, check: Option<&str>) -> Result<(), Failure> {
        let response = &results["response"];
        let (is_good, what) = match check {
            Some(check) => (
                self.job.holds("response_check", check, results)?,
                "response_check is false for the answer",
            ),
            None => ((200..300).contains(&status), "the answer is"),
        };
        if is_good {
            return Ok(());
        }
        let is_success = (200..300).contains(&status);
        Err(Failure {
            http_status: Some(status),
            // A check that an answer of success does not pass may pass later.
            again: if is_success {
                None
            } else {
                again(status, &response["headers"])
            },
            ..Failure::refused(format!("{what} {status}{}", beginning(&response["text"])))
        })
    }
}

/// The beginning of an answer's text, for the message.
fn beginning(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default().trim();
    let line: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    if line.is_empty() {
        String::new()
    } else {
        format!(": {line}")
    }
}

fn lines(items: &[Value]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

async fn saved(file: NewFile, n_items: Option<u64>) -> Result<Value, Failure> {
    let size = file.written;
    let path = file.keep().await?;
    let mut output = json!({ "path": path.display().to_string(), "size": size });
    if let Some(n_items) = n_items {
        output["items"] = Value::from(n_items);
    }
    Ok(output)
}

pub(super) fn done(output: Value, results: &Results) -> Done {
    Done {
        output: Some(output),
        results: Map::clone(results),
        ..Done::default()
    }
}
