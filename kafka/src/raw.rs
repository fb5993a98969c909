//! What librdkafka tells by its C functions and its Rust face does not, or not without a panic.

use rdkafka::bindings as ffi;
use rdkafka::message::BorrowedMessage;
use std::ffi::{CStr, c_char, c_void};

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
