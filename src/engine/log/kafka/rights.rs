//! Names of topics and of a group in; what this user may do with each, as the brokers tell it, out. Nothing is tried.
//!
//! The protocol has a question for it: a description with the operations that the asker is authorised for (KIP-430, brokers
//! from 2.3 on). The library behind the Rust client offers it, the Rust client does not, so it is asked here directly. There is
//! no such question about transactional ids: whether one may be written is seen only by taking it, which fences whoever has it.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, c_char},
    ptr::{NonNull, null_mut},
    time::{Duration, Instant},
};

use rdkafka::bindings::{
    rd_kafka_AclOperation_t, rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new,
    rd_kafka_AdminOptions_set_include_authorized_operations, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_AdminOptions_t, rd_kafka_ConsumerGroupDescription_authorized_operations,
    rd_kafka_ConsumerGroupDescription_error, rd_kafka_DescribeConsumerGroups,
    rd_kafka_DescribeConsumerGroups_result_groups, rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics,
    rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names,
    rd_kafka_TopicDescription_authorized_operations, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name,
    rd_kafka_TopicDescription_partitions, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_base64str, rd_kafka_Uuid_t,
    rd_kafka_admin_op_t, rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_error_t,
    rd_kafka_event_DescribeConsumerGroups_result, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy,
    rd_kafka_event_error, rd_kafka_event_t, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
    rd_kafka_queue_t, rd_kafka_resp_err_t, rd_kafka_t,
};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::Admin;

/// How long the brokers have for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const TRY_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// One thing that a user may do with a topic or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Read records; of a group: join it, and commit.
    Read,
    /// Write records.
    Write,
    /// See that it is there.
    Describe,
    /// See its settings.
    DescribeConfigs,
    /// Delete it, or records of it.
    Delete,
}

impl Right {
    /// As Kafka's own tool has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Read => "Read",
            Right::Write => "Write",
            Right::Describe => "Describe",
            Right::DescribeConfigs => "DescribeConfigs",
            Right::Delete => "Delete",
        }
    }

    /// By its number in the protocol; `None` for one that the hub has no use for.
    fn of(number: u32) -> Option<Right> {
        use rd_kafka_AclOperation_t as Operation;
        [
            (Operation::RD_KAFKA_ACL_OPERATION_READ, Right::Read),
            (Operation::RD_KAFKA_ACL_OPERATION_WRITE, Right::Write),
            (Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE, Right::Describe),
            (Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS, Right::DescribeConfigs),
            (Operation::RD_KAFKA_ACL_OPERATION_DELETE, Right::Delete),
        ]
        .into_iter()
        .find(|(operation, _)| *operation as u32 == number)
        .map(|(_, right)| right)
    }
}

/// What the brokers say of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// These are there.
    Known(BTreeSet<Right>),
    /// Not even that it is there may be seen.
    Hidden,
    /// It does not exist, and what does not exist has no rights.
    Absent,
    /// The brokers do not say, and why.
    Unknown(String),
    /// Nobody answers in time, or the question cannot be put.
    Unanswered(String),
}

impl Admin {
    /// What this user may do with each of these topics, in their order.
    pub fn rights_on_topics(&self, names: &[&str]) -> Vec<Rights> {
        let all = |rights: Rights| names.iter().map(|_| rights.clone()).collect();
        let texts: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
        if texts.len() != names.len() || names.is_empty() {
            return all(Rights::Unknown("a topic's name has a zero byte".to_owned()));
        }
        match describe_topics(self.native(), &texts) {
            Err(why) => all(Rights::Unanswered(why)),
            Ok(found) => names
                .iter()
                .map(|name| {
                    let of_name = found.iter().find(|(found, ..)| found == name);
                    of_name.map_or_else(
                        || Rights::Unknown("the brokers say nothing of it".to_owned()),
                        |(_, it, _)| it.clone(),
                    )
                })
                .collect(),
        }
    }

    /// What this user may do with a consumer group, whether anybody is in it or not.
    pub fn rights_on_group(&self, name: &str) -> Rights {
        match CString::new(name) {
            Err(_) => Rights::Unknown("the group's name has a zero byte".to_owned()),
            Ok(text) => {
                let deadline = Instant::now() + ANSWER_WITHIN;
                loop {
                    let found = describe_group(self.native(), &text).unwrap_or_else(Rights::Unanswered);
                    // The broker that answers for the group may only just learn that it does: the first question makes it so.
                    if !matches!(found, Rights::Unknown(_) | Rights::Unanswered(_)) || Instant::now() >= deadline {
                        return found;
                    }
                    std::thread::sleep(TRY_AGAIN_AFTER);
                }
            }
        }
    }
}

/// What tells a topic from others of its name, and how many partitions it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// The id that it was given when it was made; empty where the brokers have none (before Kafka 2.8), or do not say.
    pub(super) id: String,
    /// 0: they do not say.
    pub(super) partitions: usize,
}

/// What the brokers say of topics, in their order, to a client that lives.
pub(super) fn describe(client: *mut rd_kafka_t, names: &[&str]) -> Result<Vec<Described>, String> {
    let texts: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    if texts.len() != names.len() || names.is_empty() {
        return Err("a topic's name has a zero byte".to_owned());
    }
    let found = describe_topics(client, &texts)?;
    let of_name = |name: &&str| found.iter().find(|(found, ..)| found == name).map(|(.., it)| it.clone());
    Ok(names.iter().map(|name| of_name(name).unwrap_or_default()).collect())
}

// SAFETY: only a type: one of the library's functions that give something back. It is called in one place, which has the proof.
type Destroy<T> = unsafe extern "C" fn(*mut T);

/// Something of the library's that is given back when it is no longer needed.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: Destroy<T>,
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, destroy: Destroy<T>) -> Result<Owned<T>, String> {
        let pointer = NonNull::new(pointer).ok_or_else(|| "the client library has no room".to_owned())?;
        Ok(Owned { pointer, destroy })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the library's function that makes such a thing, is not null, and was handed to nobody
        // who keeps it; `destroy` is the library's function for it, and this is the only call, as the value is gone after it.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// The options of a question: that rights are wanted, and by when.
#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
fn options(client: *mut rd_kafka_t, of: rd_kafka_admin_op_t) -> Result<Owned<rd_kafka_AdminOptions_t>, String> {
    // SAFETY: `client` is that of a live client (see `Admin::native`), and the operation is one of the library's own.
    let options = Owned::new(unsafe { rd_kafka_AdminOptions_new(client, of) }, rd_kafka_AdminOptions_destroy)?;
    let milliseconds = i32::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the options are live. No text of an error is wanted: null with a size of zero is allowed (the library writes it
    // with snprintf). An error that is returned is ours, and is given back.
    unsafe {
        let _ = rd_kafka_AdminOptions_set_request_timeout(options.get(), milliseconds, null_mut(), 0);
        let error = rd_kafka_AdminOptions_set_include_authorized_operations(options.get(), 1);
        if !error.is_null() {
            rd_kafka_error_destroy(error);
            return Err("the client library cannot ask for rights".to_owned());
        }
    }
    Ok(options)
}

/// Waits for the answer to a question that was put.
#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
fn answer(queue: &Owned<rd_kafka_queue_t>) -> Result<Owned<rd_kafka_event_t>, String> {
    // The library answers in the time that the options give; a second more is for its own threads.
    let milliseconds = i32::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(i32::MAX).saturating_add(1_000);
    // SAFETY: the queue is live and nobody else's. An event that is returned is ours; none is null.
    let event = unsafe { rd_kafka_queue_poll(queue.get(), milliseconds) };
    let event =
        Owned::new(event, rd_kafka_event_destroy).map_err(|_| "the brokers do not answer in time".to_owned())?;
    // SAFETY: the event is live.
    match unsafe { rd_kafka_event_error(event.get()) } {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
        code => Err(RDKafkaErrorCode::from(code).to_string()),
    }
}

/// What an error and a list of operations say, both of a description that is live while this runs.
///
/// # Safety
/// `error` is null or a live error; `operations` is null or points to `count` operations.
#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
// SAFETY: what the caller must vouch for is said above, under "Safety"; both callers are in this file.
unsafe fn rights(error: *const rd_kafka_error_t, operations: *const rd_kafka_AclOperation_t, count: usize) -> Rights {
    // SAFETY: the caller vouches for the pointer; of null the library says that there is no error.
    match RDKafkaErrorCode::from(unsafe { rd_kafka_error_code(error) }) {
        RDKafkaErrorCode::NoError => {}
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
            return Rights::Hidden;
        }
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::GroupIdNotFound => return Rights::Absent,
        code => return Rights::Unknown(code.to_string()),
    }
    if operations.is_null() {
        return Rights::Unknown("these brokers do not tell what a user may do (they do from Kafka 2.3 on)".to_owned());
    }
    // SAFETY: the caller vouches for pointer and count. Read as numbers, which an enumeration of C is: a newer broker may name
    // an operation that the enumeration here does not have.
    let numbers = unsafe { std::slice::from_raw_parts(operations.cast::<u32>(), count) };
    Rights::Known(numbers.iter().filter_map(|number| Right::of(*number)).collect())
}

#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
fn describe_topics(client: *mut rd_kafka_t, names: &[CString]) -> Result<Vec<(String, Rights, Described)>, String> {
    let options = options(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS)?;
    // SAFETY: the client is live.
    let queue = Owned::new(unsafe { rd_kafka_queue_new(client) }, rd_kafka_queue_destroy)?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: as many pointers to texts that end with a zero as the count says; the library copies the texts.
    let collection = unsafe { rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = Owned::new(collection, rd_kafka_TopicCollection_destroy)?;
    // SAFETY: all four are live. The library copies names and options and refers to the queue; the answer comes there.
    unsafe { rd_kafka_DescribeTopics(client, collection.get(), options.get(), queue.get()) };
    let event = answer(&queue)?;
    let mut found = Vec::new();
    // SAFETY: the event is the answer to the question put, so it has such a result, or null. The result, its descriptions and
    // what they point to live as long as the event, which is dropped at the end; nothing of them is kept. The count is that
    // of the array. A name ends with a zero.
    unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event.get());
        if result.is_null() {
            return Err("the brokers answer something else".to_owned());
        }
        let mut count = 0;
        let descriptions = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for index in 0..count {
            let description = *descriptions.add(index);
            let mut operations = 0;
            let allowed = rd_kafka_TopicDescription_authorized_operations(description, &mut operations);
            let rights = rights(rd_kafka_TopicDescription_error(description), allowed, operations);
            let name = CStr::from_ptr(rd_kafka_TopicDescription_name(description));
            let mut described = Described::default();
            if !matches!(rights, Rights::Hidden | Rights::Absent) {
                let _ = rd_kafka_TopicDescription_partitions(description, &mut described.partitions);
                described.id = topic_id(rd_kafka_TopicDescription_topic_id(description));
            }
            found.push((name.to_string_lossy().into_owned(), rights, described));
        }
    }
    Ok(found)
}

/// A topic's id as text; empty: it has none.
///
/// # Safety
/// `id` is null or live while this runs.
#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
// SAFETY: what the caller must vouch for is said above, under "Safety"; the caller is in this file.
unsafe fn topic_id(id: *const rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: the id is live. Its text is kept with it, and is null only where there is no room.
    let text = unsafe { rd_kafka_Uuid_base64str(id) };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the library's texts end with a zero, and this one lives as long as the id.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // All bits zero: brokers that have no ids.
    if text.bytes().all(|byte| byte == b'A') { String::new() } else { text }
}

#[expect(unsafe_code, reason = "the Rust client does not offer this question, see above")]
fn describe_group(client: *mut rd_kafka_t, name: &CStr) -> Result<Rights, String> {
    let options = options(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS)?;
    // SAFETY: the client is live.
    let queue = Owned::new(unsafe { rd_kafka_queue_new(client) }, rd_kafka_queue_destroy)?;
    let mut pointers = [name.as_ptr()];
    // SAFETY: one pointer to a text that ends with a zero, which the library copies, as it does the options; it refers to the
    // queue, and the answer comes there. All are live.
    unsafe { rd_kafka_DescribeConsumerGroups(client, pointers.as_mut_ptr(), 1, options.get(), queue.get()) };
    let event = answer(&queue)?;
    // SAFETY: the event is the answer to the question put, so it has such a result, or null. The result and its descriptions
    // live as long as the event, which is dropped at the end; nothing of them is kept. The first is there if the count says so.
    unsafe {
        let result = rd_kafka_event_DescribeConsumerGroups_result(event.get());
        let mut count = 0;
        let descriptions = match result.is_null() {
            true => null_mut(),
            false => rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count),
        };
        if descriptions.is_null() || count == 0 {
            return Err("the brokers answer something else".to_owned());
        }
        let description = *descriptions;
        let mut operations = 0;
        let allowed = rd_kafka_ConsumerGroupDescription_authorized_operations(description, &mut operations);
        Ok(rights(rd_kafka_ConsumerGroupDescription_error(description), allowed, operations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_their_numbers_of_the_protocol() {
        let named: Vec<&str> = (0..=12).filter_map(Right::of).map(Right::as_str).collect();
        assert_eq!(named, ["Read", "Write", "Delete", "Describe", "DescribeConfigs"]);
        assert_eq!(Right::of(99), None);
    }
}
