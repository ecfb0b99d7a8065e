use proptest::prelude::*;

use super::*;
use crate::mesos::scheduler::{Call, Event, call, event};
use crate::mesos::{
    Filters, FrameworkId, FrameworkInfo, Resource, TaskInfo, TaskState, TaskStatus, master, value,
};

fn text<M: Message + Name>(message: &M) -> String {
    String::from_utf8(encode(message)).unwrap()
}

fn refused<M: Message + Name + Default + fmt::Debug>(text: &str) -> String {
    decode::<M>(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_heartbeat_is_twenty_bytes() {
    let event = Event { r#type: Some(event::Type::Heartbeat.into()), ..Event::default() };
    assert_eq!(text(&event), r#"{"type":"HEARTBEAT"}"#);
}

#[test]
fn what_is_not_set_but_has_a_default_is_written() {
    assert_eq!(text(&Filters::default()), r#"{"refuse_seconds":5.0}"#);
    let info = FrameworkInfo { user: "root".into(), name: "x".into(), ..FrameworkInfo::default() };
    assert_eq!(
        text(&info),
        r#"{"user":"root","name":"x","failover_timeout":0.0,"checkpoint":false}"#,
        "and not the default of what is deprecated"
    );
}

#[test]
fn a_zero_in_a_map_is_written() {
    let limits = [("cpus".to_owned(), value::Scalar { value: 0.0 })];
    let task = TaskInfo { limits: limits.into(), ..TaskInfo::default() };
    assert!(text(&task).contains(r#""limits":{"cpus":{"value":0.0}}"#), "{}", text(&task));
    assert_eq!(decode::<TaskInfo>(&encode(&task)).unwrap(), task);
}

#[test]
fn answers_have_all_their_lists() {
    let answer = master::Response {
        r#type: Some(master::response::Type::GetTasks.into()),
        get_tasks: Some(master::response::GetTasks::default()),
        ..master::Response::default()
    };
    let text = text(&answer);
    for list in ["pending_tasks", "tasks", "completed_tasks", "orphan_tasks", "unreachable_tasks"] {
        assert!(text.contains(&format!("\"{list}\":[]")), "{text}");
    }
}

#[test]
fn numbers_are_numbers() {
    let status = TaskStatus {
        task_id: crate::mesos::TaskId { value: "t/\"1\"\u{1}".into() },
        state: TaskState::TaskRunning.into(),
        timestamp: Some(2.0),
        uuid: Some(vec![0, 255, 16]),
        ..TaskStatus::default()
    };
    assert_eq!(
        text(&status),
        r#"{"task_id":{"value":"t/\"1\"\u0001"},"state":"TASK_RUNNING","timestamp":2.0,"uuid":"AP8Q"}"#
    );
    let time = crate::mesos::TimeInfo { nanoseconds: i64::MIN };
    assert_eq!(text(&time), r#"{"nanoseconds":-9223372036854775808}"#);
    let endless = value::Scalar { value: f64::INFINITY };
    assert_eq!(text(&endless), r#"{"value":"Infinity"}"#);
}

#[test]
fn the_usual_calls_are_read() {
    let call: Call = decode(
        br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"x","failover_timeout":60,
            "roles":["dev"],"capabilities":[{"type":"MULTI_ROLE"},{"type":"FROM_THE_FUTURE"}]},"suppressed_roles":[]}}"#,
    )
    .unwrap();
    assert_eq!(call.r#type(), call::Type::Subscribe);
    let info = call.subscribe.unwrap().framework_info;
    assert_eq!(info.failover_timeout, Some(60.0));
    assert_eq!(info.capabilities.len(), 2);
    assert_eq!(info.capabilities[1].r#type, None, "an unknown name leaves an optional field unset");
}

#[test]
fn lenient_where_mesos_is() {
    // Numbers as texts, a fraction for a whole number, null, an unknown field, a lone value for a list.
    let info: TaskInfo = decode(
        br#"{"name":"t","task_id":{"value":"1"},"agent_id":{"value":"a"},"nobody":{"knows":[1,{}]},"data":null,
            "max_completion_time":{"nanoseconds":"5"},
            "resources":{"name":"ports","type":"RANGES","ranges":{"range":{"begin":1.9,"end":"3"}}}}"#,
    )
    .unwrap();
    assert_eq!(info.max_completion_time.unwrap().nanoseconds, 5);
    let range = info.resources[0].ranges.as_ref().unwrap().range[0];
    assert_eq!((range.begin, range.end), (1, 3));
    assert_eq!(info.data, None);
    let info: FrameworkInfo = decode(br#"{"user":"u","name":"n","checkpoint":"true","roles":"a"}"#).unwrap();
    assert_eq!((info.checkpoint, info.roles), (Some(true), vec!["a".to_owned()]));
    let scalar: value::Scalar = decode(br#"{"value":"-Infinity"}"#).unwrap();
    assert!(scalar.value.is_infinite());
}

#[test]
fn refusals_name_the_field() {
    assert_eq!(refused::<FrameworkId>("{}"), "value: is missing; set it (line 1, column 2)");
    assert_eq!(
        refused::<FrameworkId>(r#"{"value":5}"#),
        "value: a text is wanted, not a number (line 1, column 10)"
    );
    let task = |rest: &str| {
        let text = format!(
            r#"{{"type":"ACCEPT","accept":{{"operations":[{{"type":"RESERVE"}},{{"launch":{{"task_infos":[{rest}]}}}}]}}}}"#
        );
        refused::<Call>(&text)
    };
    let path = "accept.operations[1].launch.task_infos[0]";
    assert!(task("{}").starts_with(&format!("{path}.name: is missing")), "{}", task("{}"));
    assert!(task("7").starts_with(path), "{}", task("7"));
    let twice = refused::<FrameworkId>(r#"{"value":"a","value":"b"}"#);
    assert!(twice.starts_with("value: is there twice"), "{twice}");
    let limits =
        r#"{"name":"t","task_id":{"value":"1"},"agent_id":{"value":"a"},"limits":{"cpus":{"value":[]}}}"#;
    assert!(
        task(limits).starts_with(&format!("{path}.limits[\"cpus\"].value: a number")),
        "{}",
        task(limits)
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    type Range = value::Range;
    for bad in ["-1", "18446744073709551616", "1e300", "\"\"", "\"0x5\"", "\"NaN\"", "true", "[1]", "{}"] {
        let text = format!(r#"{{"begin":{bad},"end":1}}"#);
        let error = refused::<Range>(&text);
        assert!(error.starts_with("begin: "), "{bad}: {error}");
    }
    let largest = format!(r#"{{"begin":{0},"end":"{0}"}}"#, u64::MAX);
    assert_eq!(decode::<Range>(largest.as_bytes()).unwrap(), Range { begin: u64::MAX, end: u64::MAX });
    assert!(refused::<TaskStatus>(r#"{"task_id":{"value":"t"},"state":"TASK_LAZY"}"#).starts_with("state: "));
    assert!(
        refused::<TaskStatus>(r#"{"task_id":{"value":"t"},"state":"TASK_LOST","uuid":"%"}"#)
            .contains("base64")
    );
}

#[test]
fn no_depth_or_rubbish_harms() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(decode::<Call>(deep.as_bytes()).is_err());
    let deep = format!(r#"{{"x":{}1{}}}"#, r#"{"x":"#.repeat(100_000), "}".repeat(100_000));
    let _either = decode::<Call>(deep.as_bytes());
    let parents = format!(r#"{{"value":"c"{}{}"#, r#","parent":{"value":"c""#.repeat(100), "}".repeat(101));
    assert!(refused::<crate::mesos::ContainerId>(&parents).contains("deeper than 64"));
    for bad in ["", " ", "null", "5", "[]", "{", "{}{}", "{\"type\":\"KILL\"} x", "\u{feff}{}", "{'a':1}"] {
        assert!(decode::<Call>(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(decode::<Call>(b"{\"type\":\"\xff\"}").is_err());
}

#[test]
fn lists_of_messages_are_read() {
    let weights = br#"[{"role":"a","weight":2.0},{"weight":1}]"#;
    assert_eq!(decode_list::<crate::mesos::WeightInfo>(weights, 10).unwrap().len(), 2);
    let lone = decode_list::<crate::mesos::WeightInfo>(br#"{"weight":1}"#, 10).unwrap();
    assert_eq!(lone.len(), 1);
    let error = decode_list::<crate::mesos::WeightInfo>(br#"[{"weight":1},{}]"#, 10).unwrap_err();
    assert!(error.to_string().starts_with("[1].weight: is missing"), "{error}");
    assert!(decode_list::<crate::mesos::WeightInfo>(weights, 1).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_message_or_an_error(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _either = decode::<Call>(&text);
    }

    #[test]
    fn what_was_written_is_read(
        name in ".*", begin in any::<u64>(), end in any::<u64>(), scalar in prop::num::f64::NORMAL,
        data in prop::collection::vec(any::<u8>(), 0..40), principal in prop::option::of(".*"),
    ) {
        let ranges = value::Ranges { range: vec![value::Range { begin, end }; 2] };
        let resource = Resource {
            name,
            r#type: value::Type::Ranges.into(),
            ranges: Some(ranges),
            scalar: Some(value::Scalar { value: scalar }),
            reservation: Some(crate::mesos::resource::ReservationInfo { principal, ..Default::default() }),
            ..Resource::default()
        };
        prop_assert_eq!(&decode::<Resource>(&encode(&resource)).unwrap(), &resource);
        let limits = [("cpus".to_owned(), value::Scalar { value: scalar })];
        let task = TaskInfo { data: Some(data), resources: vec![resource], limits: limits.into(), ..TaskInfo::default() };
        prop_assert_eq!(&decode::<TaskInfo>(&encode(&task)).unwrap(), &task);
    }
}

/// A message of which every field is set, lists with two values, down to a depth.
fn full(table: &'static schema::Message, depth: usize) -> Vec<u8> {
    use crate::walk::put_varint;
    let mut out = Vec::new();
    for field in table.fields {
        let copies = if field.label == schema::Label::Repeated && !is_map(field) { 2 } else { 1 };
        for copy in 0..copies {
            let nested = match field.kind {
                schema::Kind::Message(_)
                    if depth == 0 && field.label != schema::Label::Required && !table.map_entry =>
                {
                    continue;
                }
                schema::Kind::Message(_) => full(field.kind.message().unwrap(), depth.saturating_sub(1)),
                schema::Kind::Text => format!("{}-\u{e9}\n{copy}", field.name).into_bytes(),
                schema::Kind::Bytes => vec![0, 255, copy],
                schema::Kind::Double => {
                    put_varint(&mut out, u64::from(field.number) << 3 | 1);
                    out.extend_from_slice(&(f64::from(field.number) + 0.25).to_le_bytes());
                    continue;
                }
                schema::Kind::Enum(at) => {
                    let (number, _) = *schema::ENUMS[usize::from(at)].by_number.last().unwrap();
                    put_varint(&mut out, u64::from(field.number) << 3);
                    put_varint(&mut out, u64::try_from(number).unwrap());
                    continue;
                }
                _ => {
                    put_varint(&mut out, u64::from(field.number) << 3);
                    put_varint(&mut out, 1);
                    continue;
                }
            };
            put_varint(&mut out, u64::from(field.number) << 3 | 2);
            put_varint(&mut out, nested.len() as u64);
            out.extend_from_slice(&nested);
        }
    }
    out
}

fn is_map(field: &schema::Field) -> bool {
    field.kind.message().is_some_and(|message| message.map_entry)
}

#[test]
fn every_message_of_the_schema_is_the_same_in_both_forms() {
    let mut messages = 0;
    for table in schema::MESSAGES.iter().filter(|table| !table.map_entry) {
        let binary = full(table, 2);
        let mut text = Vec::new();
        writing::message(&mut text, table, &binary);
        let read = reading::binary(table, &text);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", table.name));
        assert!(read == binary, "{}: {}", table.name, String::from_utf8_lossy(&text));
        messages += 1;
    }
    assert!(messages > 250, "{messages}");
}

#[test]
fn memory_is_bounded() {
    let most = crate::limits::DECODED_BYTES / size_of::<crate::mesos::offer::Operation>();
    let text = format!(r#"{{"accept": {{"operations": [{}{{}}]}}}}"#, "{},".repeat(most));
    let error = decode::<crate::mesos::scheduler::Call>(text.as_bytes()).unwrap_err();
    assert!(error.field.starts_with("accept.operations["), "{error}");
    assert!(error.message.contains("256 MiB"), "{error}");
}

#[test]
fn of_a_long_text_at_fault_the_beginning_is_repeated() {
    let long = "ä".repeat(1 << 20);
    for text in [
        format!(r#"{{"type": "KILL", "accept": {{"filters": {{"refuse_seconds": "{long}"}}}}}}"#),
        format!(r#"{{"accept": {{"operations": [{{"id": {{"value": 1}}}}]}}, "x": "{long}"}}"#),
        format!(r#""{long}""#),
        format!(r#"["{long}"]"#),
    ] {
        let error = decode::<crate::mesos::scheduler::Call>(text.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 1_000, "{error}");
    }
}
