//! What a request takes of memory while it is read. A file of its own: the peak is the process's.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_serve::InferRequest;

/// The largest resident size so far, bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_request_takes_a_small_multiple_of_its_text() {
    // The worst there is: the shortest elements of the widest datatype, whose name comes last.
    let elements = 6 << 20;
    let mut body = String::with_capacity(2 * elements + 100);
    body += r#"{"inputs":[{"name":"x","data":["#;
    body.extend(std::iter::repeat_n("1,", elements - 1));
    body += &format!(r#"1],"shape":[{elements}],"datatype":"FP64"}}]}}"#);
    let before = peak();
    let request: InferRequest = serde_json::from_slice(body.as_bytes()).unwrap();
    let more = peak() - before;
    assert_eq!(request.inputs[0].tensor().bytes().len(), elements * 8);
    assert!(
        more <= 5 * body.len(),
        "{more} bytes for a body of {}",
        body.len()
    );
}
