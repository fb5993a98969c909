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

/// The ids of topics by name; those that the brokers tell nothing of are left out. `None` when
/// they do not answer. A topic that was deleted and made anew has another id.
pub(crate) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> Option<BTreeMap<String, String>> {
    let names: Vec<CString> = topics
        .iter()
        .filter_map(|name| CString::new(*name).ok())
        .collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: librdkafka copies the names; each object that is made here is destroyed here, the
    // event last, for what is read of it lies in it.
    unsafe {
        let rk = client.native_ptr();
        let wished =
            ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let queue = ffi::rd_kafka_queue_new(rk);
        let options = ffi::rd_kafka_AdminOptions_new(
            rk,
            ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut told: [c_char; 128] = [0; 128];
        ffi::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis,
            told.as_mut_ptr(),
            told.len(),
        );
        ffi::rd_kafka_DescribeTopics(rk, wished, options, queue);
        ffi::rd_kafka_AdminOptions_destroy(options);
        ffi::rd_kafka_TopicCollection_destroy(wished);
        let event = ffi::rd_kafka_queue_poll(queue, millis.saturating_add(1_000));
        let found = (!event.is_null()).then(|| described(event)).flatten();
        if !event.is_null() {
            ffi::rd_kafka_event_destroy(event);
        }
        ffi::rd_kafka_queue_destroy(queue);
        found
    }
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
