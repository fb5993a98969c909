//! What librdkafka tells by its C functions and its Rust face does not, or not without a panic.

use rdkafka::bindings as ffi;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::time::Duration;

/// A header: its name, and its value if it has one.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// The headers of a message in order, doubles included. The Rust face panics at a name that is
/// not UTF-8; here such a name is shown with marks in it.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut headers = std::ptr::null_mut();
    let mut found = Vec::new();
    // SAFETY: the message is alive; the headers belong to it and are only read while it is.
    unsafe {
        let code = ffi::rd_kafka_message_headers(message.ptr(), &mut headers);
        if code != ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return found;
        }
        for at in 0.. {
            let mut name: *const c_char = std::ptr::null();
            let mut value: *const c_void = std::ptr::null();
            let mut size = 0;
            let code = ffi::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut size);
            if code != ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                break;
            }
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let value = (!value.is_null())
                .then(|| std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            found.push((name, value));
        }
    }
    found
}

/// The offset of the next record that is written to a partition that is read, as its last answer
/// has told it: transactions that are open count here, and do not in what a reader is given.
pub(crate) fn last_offset<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the name is only read while the call lasts; the answer is two numbers.
    let code = unsafe {
        let rk = client.native_ptr();
        ffi::rd_kafka_get_watermark_offsets(rk, topic.as_ptr(), partition, &mut low, &mut high)
    };
    let is_known = code == ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
    is_known.then_some(high)
}

/// Asks the brokers something, and reads the answer while it is there. `None` when there is none.
///
/// # Safety
/// `send` sends one request with the options and the queue that it is given, and keeps neither;
/// `read` keeps nothing of the event.
unsafe fn asked<C: ClientContext, T>(
    client: &Client<C>,
    operation: ffi::rd_kafka_admin_op_t,
    wait: Duration,
    send: impl FnOnce(
        *mut ffi::rd_kafka_t,
        *const ffi::rd_kafka_AdminOptions_t,
        *mut ffi::rd_kafka_queue_t,
    ),
    read: unsafe fn(*mut ffi::rd_kafka_event_t) -> Option<T>,
) -> Option<T> {
    let millis = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: each object that is made here is destroyed here, the event last, for what is read of
    // it lies in it.
    unsafe {
        let rk = client.native_ptr();
        let queue = ffi::rd_kafka_queue_new(rk);
        let options = ffi::rd_kafka_AdminOptions_new(rk, operation);
        let mut told: [c_char; 128] = [0; 128];
        ffi::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis,
            told.as_mut_ptr(),
            told.len(),
        );
        send(rk, options, queue);
        ffi::rd_kafka_AdminOptions_destroy(options);
        let event = ffi::rd_kafka_queue_poll(queue, millis.saturating_add(1_000));
        let found = (!event.is_null()).then(|| read(event)).flatten();
        if !event.is_null() {
            ffi::rd_kafka_event_destroy(event);
        }
        ffi::rd_kafka_queue_destroy(queue);
        found
    }
}

/// The ids of topics by name; those that the brokers tell nothing of are left out. `None` when
/// they do not answer. A topic that was deleted and made anew has another id.
pub(crate) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> Option<BTreeMap<String, String>> {
    let names = c_names(topics);
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let operation = ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: librdkafka copies the names.
    unsafe {
        let wished =
            ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let send = |rk, options, queue| ffi::rd_kafka_DescribeTopics(rk, wished, options, queue);
        let found = asked(client, operation, wait, send, described);
        ffi::rd_kafka_TopicCollection_destroy(wished);
        found
    }
}

fn c_names(names: &[&str]) -> Vec<CString> {
    let names = names.iter();
    names.filter_map(|name| CString::new(*name).ok()).collect()
}

/// How long topics keep a record by `retention.ms`; those that keep it for ever, or compact it
/// instead, are left out. `None` when the brokers do not answer.
pub(crate) fn retention<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> Option<BTreeMap<String, Duration>> {
    let names = c_names(topics);
    let topic = ffi::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    let operation = ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    // SAFETY: librdkafka copies the names and the resources.
    unsafe {
        let resources = names.iter();
        let mut resources: Vec<_> = resources
            .map(|name| ffi::rd_kafka_ConfigResource_new(topic, name.as_ptr()))
            .collect();
        let (of, count) = (resources.as_mut_ptr(), resources.len());
        let send =
            |rk, options, queue| ffi::rd_kafka_DescribeConfigs(rk, of, count, options, queue);
        let found = asked(client, operation, wait, send, kept_for);
        for resource in resources {
            ffi::rd_kafka_ConfigResource_destroy(resource);
        }
        found
    }
}

/// SAFETY: the event is alive.
unsafe fn kept_for(event: *mut ffi::rd_kafka_event_t) -> Option<BTreeMap<String, Duration>> {
    let ok = ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: as above; the resources and their entries belong to the event.
    unsafe {
        let result = ffi::rd_kafka_event_DescribeConfigs_result(event);
        if result.is_null() || ffi::rd_kafka_event_error(event) != ok {
            return None;
        }
        let mut count = 0;
        let resources = ffi::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        let mut found = BTreeMap::new();
        for at in 0..count {
            let resource = *resources.add(at);
            let mut n_entries = 0;
            let entries = ffi::rd_kafka_ConfigResource_configs(resource, &mut n_entries);
            let setting = |wanted: &str| {
                let mut entries = (0..n_entries).map(|at| *entries.add(at));
                let entry = entries.find(|entry| {
                    text(ffi::rd_kafka_ConfigEntry_name(*entry)).as_deref() == Some(wanted)
                })?;
                text(ffi::rd_kafka_ConfigEntry_value(entry))
            };
            let is_deleted = setting("cleanup.policy").is_none_or(|all| all.contains("delete"));
            let millis = setting("retention.ms").and_then(|text| text.parse::<u64>().ok());
            let name = text(ffi::rd_kafka_ConfigResource_name(resource));
            if let (true, Some(millis), Some(name)) = (is_deleted, millis, name) {
                found.insert(name, Duration::from_millis(millis));
            }
        }
        Some(found)
    }
}

/// SAFETY: a text of C, or null.
unsafe fn text(of: *const c_char) -> Option<String> {
    // SAFETY: as above.
    (!of.is_null()).then(|| unsafe { CStr::from_ptr(of).to_string_lossy().into_owned() })
}

/// SAFETY: the event is alive.
unsafe fn described(event: *mut ffi::rd_kafka_event_t) -> Option<BTreeMap<String, String>> {
    let ok = ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: as above; the descriptions belong to the event.
    unsafe {
        let result = ffi::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() || ffi::rd_kafka_event_error(event) != ok {
            return None;
        }
        let mut count = 0;
        let topics = ffi::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut found = BTreeMap::new();
        for at in 0..count {
            let topic = *topics.add(at);
            let error = ffi::rd_kafka_TopicDescription_error(topic);
            let id = ffi::rd_kafka_TopicDescription_topic_id(topic);
            let name = ffi::rd_kafka_TopicDescription_name(topic);
            if ffi::rd_kafka_error_code(error) != ok || id.is_null() || name.is_null() {
                continue;
            }
            let bits = (
                ffi::rd_kafka_Uuid_most_significant_bits(id),
                ffi::rd_kafka_Uuid_least_significant_bits(id),
            );
            if bits != (0, 0) {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.insert(name, format!("{:016x}{:016x}", bits.0, bits.1));
            }
        }
        Some(found)
    }
}
