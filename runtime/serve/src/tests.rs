use crate::protocol::{InferRequest, TensorMetadata};
use crate::worker::{Queue, serve};
use crate::{HttpEndpoint, Model, ModelSource, Models, ServeError, ServeOptions, Server, TensorData};
use sanderling_session::{DType, Tensor};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

fn read(datatype: &str, shape: &[usize], data: &str) -> Result<Tensor, String> {
    let text = format!("{{\"name\":\"x\",\"data\":{data},\"shape\":{shape:?},\"datatype\":\"{datatype}\"}}");
    let read: Result<TensorData, _> = serde_json::from_str(&text);
    read.map(|data| data.into_parts().1)
        .map_err(|error| error.to_string())
}

#[test]
fn tensors_round_trip() {
    for tensor in [
        Tensor::from_slice(&[2, 2], &[1.5f32, -2.0, 0.0, 1e-30]).unwrap(),
        Tensor::from_slice(&[2], &[0.1f64, f64::MAX]).unwrap(),
        Tensor::from_slice(&[3], &[i64::MIN, 0, i64::MAX]).unwrap(),
        Tensor::from_slice(&[1], &[u64::MAX]).unwrap(),
        Tensor::from_slice(&[2], &[0u8, 255]).unwrap(),
        Tensor::from_slice::<f32>(&[0, 3], &[]).unwrap(),
        Tensor::from_bytes(DType::Bool, &[2], &[0, 1]).unwrap(),
    ] {
        let sent = TensorData::from_view("x", tensor.view()).unwrap();
        let text = serde_json::to_string(&sent).unwrap();
        let received: TensorData = serde_json::from_str(&text).unwrap();
        assert_eq!((received.name(), received.tensor()), ("x", &tensor));
    }
    let text =
        serde_json::to_string(&TensorData::new("b", read("BOOL", &[2], "[true, 0]").unwrap()).unwrap());
    assert_eq!(
        text.unwrap(),
        r#"{"name":"b","shape":[2],"datatype":"BOOL","data":[true,false]}"#
    );
}

#[test]
fn nested_lists_are_flat_ones() {
    let nested = read("INT32", &[2, 2], "[[1, 2], [3, 4]]").unwrap();
    assert_eq!(nested, read("INT32", &[2, 2], "[1,2,3,4]").unwrap());
    assert_eq!(
        read("FP32", &[], "1").unwrap(),
        Tensor::from_slice(&[], &[1f32]).unwrap()
    );
}

#[test]
fn what_does_not_hang_together_is_named() {
    let check = |bad: Result<Tensor, String>, words: &str| {
        let error = bad.unwrap_err();
        assert!(error.contains("'x'") && error.contains(words), "{error}");
    };
    check(read("FP32", &[3], "[1, 2]"), "3 elements, its data 2");
    check(read("FP32", &[2], "[1, 2, 3]"), "more elements");
    check(read("FP32", &[1 << 30], "[1, 2]"), "its data fewer");
    check(read("FP99", &[1], "[1]"), "FP99");
    check(read("UINT8", &[1], "[256]"), "256");
    check(read("UINT8", &[1], "[-1]"), "-1");
    check(read("INT32", &[1], "[1.5]"), "1.5");
    check(read("BOOL", &[1], "[2]"), "BOOL");
    check(read("INT32", &[1], "[true]"), "true");
    check(read("FP32", &[1], "[null]"), "null");
    check(read("FP32", &[1], "[1e300]"), "FP32");
    check(read("INT32", &[1], "[\"a\"]"), "\"a\"");
    check(read("INT32", &[usize::MAX, 2], "[1]"), "shape");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    check(read("INT32", &[1], &deep), "deep");
    let nan = Tensor::from_slice(&[1], &[f32::NAN]).unwrap();
    let error = TensorData::from_view("x", nan.view()).unwrap_err();
    assert!(error.to_string().contains("NaN"));
    let shapes = format!("{:?}", vec![1; 100]);
    let text = format!("{{\"name\":\"x\",\"shape\":{shapes},\"datatype\":\"FP32\",\"data\":[1]}}");
    let error = serde_json::from_str::<TensorData>(&text).unwrap_err().to_string();
    assert!(error.contains("more than 16"), "{error}");
    let text = format!(
        "{{\"inputs\":[],\"outputs\":[{}]}}",
        vec!["{\"name\":\"\"}"; 2000].join(",")
    );
    let error = serde_json::from_str::<InferRequest>(&text)
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than 1024"), "{error}");
}

#[test]
fn open_dimensions_take_any_size() {
    let meta = TensorMetadata {
        name: "x".to_string(),
        datatype: "FP32".to_string(),
        shape: vec![-1, 3],
    };
    assert!(meta.takes(&[7, 3]));
    assert!(!meta.takes(&[7, 4]));
    assert!(!meta.takes(&[3]));
}

#[test]
fn inputs_leave_the_machine_by_tls_only() {
    for url in [
        "https://models.example",
        "http://127.0.0.1:8600",
        "http://[::1]:8600/v2",
        "HTTP://localhost",
    ] {
        assert!(HttpEndpoint::new(url, Some("token")).is_ok(), "{url}");
    }
    for url in [
        "http://models.example",
        "HTTP://10.0.0.1:8600",
        "http://127.0.0.1.models.example",
        "http://localhost.models.example:80/v2",
        "http://[::ffff:10.0.0.1]",
        "http://0.0.0.0",
    ] {
        let refused = HttpEndpoint::new(url, None).err();
        assert!(
            matches!(refused, Some(ServeError::InsecureEndpoint { .. })),
            "{url}"
        );
    }
    for url in [
        "http://127.0.0.1:80@models.example",
        "http://localhost:pass@models.example/v2",
        "http://[::1]@models.example",
        "http://models.example@127.0.0.1",
        "https://user:secret@models.example",
        "http://127.0.0.1#@models.example",
        "http://127.0.0.1?@models.example",
        "http://127.0.0.1/@models.example",
        "http://127.0.0.1\\@models.example",
        "https://models.example?key=1",
        "http://127.0.0.1:80:80",
        "https://",
        "ftp://127.0.0.1",
        "models.example",
        "",
    ] {
        let refused = HttpEndpoint::new(url, None).unwrap_err();
        assert!(matches!(refused, ServeError::EndpointAddress { .. }), "{url}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[test]
fn other_machines_are_served_only_where_asked_for() {
    let options = |token: Option<&str>, allow_plain_http| ServeOptions {
        address: Some(([0, 0, 0, 0], 0).into()),
        token: token.map(str::to_string),
        allow_plain_http,
        ..ServeOptions::default()
    };
    let refused = |options| Server::load(&[], options).err();
    assert!(matches!(
        refused(options(None, true)),
        Some(ServeError::Unprotected { .. })
    ));
    assert!(matches!(
        refused(options(Some("token"), false)),
        Some(ServeError::PlainHttp { .. })
    ));
    assert!(refused(options(Some("token"), true)).is_none());
}

/// The toy model as `tiny`.
fn tiny_model(folder: &Path) -> ModelSource {
    let bundle = sanderling_support::bundle(sanderling_support::manifest("tiny"), "any", None);
    let path = folder.join("tiny.sdl");
    std::fs::write(&path, bundle).unwrap();
    ModelSource {
        name: "tiny".into(),
        version: "1".into(),
        path,
    }
}

/// A server of the tiny model.
fn start(options: ServeOptions) -> (tempfile::TempDir, crate::Running) {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_model(folder.path());
    let options = ServeOptions {
        address: Some(([127, 0, 0, 1], 0).into()),
        ..options
    };
    let running = Server::load(&[source], options).unwrap().start().unwrap();
    (folder, running)
}

/// The head and the first `length` bytes of the body of a request for `tiny`.
fn begin(address: std::net::SocketAddr, length: usize) -> TcpStream {
    begin_with(address, length, "")
}

/// With more lines in its head.
fn begin_with(address: std::net::SocketAddr, length: usize, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream
}

fn status(mut stream: TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).into_owned()
}

/// The whole answer to a request with this body.
fn ask(address: std::net::SocketAddr, body: &str) -> String {
    let mut stream = begin(address, body.len());
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const GOOD: &str = r#""inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,1]}]"#;

/// A body is counted before it is read: its head alone takes the room, another one is refused at once.
#[test]
fn bodies_are_refused_before_they_are_read() {
    let (_folder, running) = start(ServeOptions {
        max_body: 4096,
        max_bodies: 4096,
        ..ServeOptions::default()
    });
    let begin = |length: usize, more: &str| begin_with(running.address.unwrap(), length, more);
    assert_eq!(status(begin(4097, "")), "413");
    // The server asks for a body once it has counted it.
    let mut first = begin(4096, "expect: 100-continue\r\n");
    let mut asked = [0; 25];
    first.read_exact(&mut asked).unwrap();
    assert_eq!(asked, *b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        status(begin(4096, "")),
        "503",
        "the first one's head took all the room"
    );
    first.write_all(&[b' '; 4096]).unwrap();
    assert_eq!(status(first), "400");
    let mut next = begin(2, "");
    next.write_all(b"{}").unwrap();
    assert_eq!(status(next), "400", "and gives it back");
}

#[test]
fn an_unknown_output_is_refused_by_the_names_there_are() {
    let (_folder, running) = start(ServeOptions::default());
    let answer = ask(
        running.address.unwrap(),
        &format!("{{{GOOD},\"outputs\":[{{\"name\":\"y\"}}]}}"),
    );
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("[0.5,0.5]"),
        "{answer}"
    );
    let answer = ask(
        running.address.unwrap(),
        &format!("{{{GOOD},\"outputs\":[{{\"name\":\"z\"}}]}}"),
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("no output 'z'; there is: y"), "{answer}");
}

/// Whoever opens a connection and sends no request does not keep it.
#[test]
fn a_connection_that_sends_no_head_is_closed() {
    let (_folder, running) = start(ServeOptions {
        head_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    });
    for part in ["", "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(running.address.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // An error would be the reading's own timeout.
        stream.read_to_end(&mut answer).unwrap();
    }
}

#[test]
fn connections_are_bounded() {
    let (_folder, running) = start(ServeOptions {
        connections: 2,
        ..ServeOptions::default()
    });
    let held = [
        begin(running.address.unwrap(), 2),
        begin(running.address.unwrap(), 2),
    ];
    std::thread::sleep(Duration::from_millis(200));
    let mut third = TcpStream::connect(running.address.unwrap()).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let closed = third.read(&mut [0]);
    assert!(
        matches!(&closed, Ok(0))
            || closed.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    );
    for mut stream in held {
        stream.write_all(b"{}").unwrap();
        assert_eq!(status(stream), "400");
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(ask(running.address.unwrap(), &format!("{{{GOOD}}}")).starts_with("HTTP/1.1 200"));
}

/// A model `tiny` without inputs and outputs, behind a queue.
fn empty(version: &str, jobs: std::sync::mpsc::SyncSender<crate::Job>) -> Model {
    Model {
        name: "tiny".into(),
        version: version.into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        line: Arc::new(Queue(jobs)),
    }
}

/// A request that waits for its model is dropped with the connection it came by: it is never run.
#[test]
fn what_a_gone_client_asked_is_not_run() {
    let (jobs, line) = sync_channel(8);
    let (run, ran) = channel();
    let (go_on, gate) = channel::<()>();
    let models = Models::default();
    models.serve_only(empty("1", jobs));
    std::thread::spawn(move || {
        serve(&line, "1", |request| {
            run.send(request.id.clone().unwrap()).unwrap();
            gate.recv().unwrap();
            Ok(Vec::new())
        });
    });
    let options = ServeOptions {
        address: Some(([127, 0, 0, 1], 0).into()),
        ..ServeOptions::default()
    };
    let running = Server::over(models, options).unwrap().start().unwrap();
    let send = |id: &str| {
        let body = format!("{{\"id\":\"{id}\",\"inputs\":[]}}");
        let mut stream = begin(running.address.unwrap(), body.len());
        stream.write_all(body.as_bytes()).unwrap();
        stream
    };
    let first = send("first");
    assert_eq!(ran.recv_timeout(Duration::from_secs(20)).unwrap(), "first");
    let gone = send("gone");
    std::thread::sleep(Duration::from_millis(200));
    drop(gone);
    let last = send("last");
    std::thread::sleep(Duration::from_millis(200));
    go_on.send(()).unwrap();
    assert_eq!(status(first), "200");
    assert_eq!(ran.recv_timeout(Duration::from_secs(20)).unwrap(), "last");
    go_on.send(()).unwrap();
    assert_eq!(status(last), "200");
}

/// What is served changes under a running server; what was taken in before is answered after.
#[test]
fn a_table_changes_while_it_is_served() {
    let models = Models::none("nothing was installed yet");
    let options = ServeOptions {
        address: Some(([127, 0, 0, 1], 0).into()),
        ..ServeOptions::default()
    };
    let running = Server::over(models.clone(), options).unwrap().start().unwrap();
    let address = running.address.unwrap();
    let ready = || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /v2/health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ready();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("nothing was installed yet"),
        "{answer}"
    );
    let answer = ask(address, "{\"inputs\":[]}");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("nothing was installed yet"),
        "{answer}"
    );
    let (jobs, line) = sync_channel(8);
    models.serve_only(empty("1", jobs.clone()));
    assert!(ready().starts_with("HTTP/1.1 200"));
    let body = "{\"inputs\":[]}";
    let mut waiting = begin(address, body.len());
    waiting.write_all(body.as_bytes()).unwrap();
    let mut job = line.recv_timeout(Duration::from_secs(20)).unwrap();
    models.serve_only(empty("2", jobs));
    assert_eq!(job.wants(), ("tiny", None));
    job.answer(Ok(crate::Answered {
        version: "2".into(),
        outputs: Vec::new(),
    }));
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"model_version\":\"2\""), "{answer}");
    // Who waited while the last model went is told to come again.
    let mut waiting = begin(address, body.len());
    waiting.write_all(body.as_bytes()).unwrap();
    let mut job = line.recv_timeout(Duration::from_secs(20)).unwrap();
    models.clear("it was taken away");
    assert!(ready().contains("it was taken away"));
    job.answer(Err(crate::Refusal::Nothing("it was taken away".into())));
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"),
        "{answer}"
    );
}

/// What was taken in is answered when the server stops.
#[test]
fn a_stop_answers_what_was_taken_in() {
    let (jobs, line) = sync_channel(8);
    let models = Models::default();
    models.serve_only(empty("1", jobs));
    let options = ServeOptions {
        address: Some(([127, 0, 0, 1], 0).into()),
        ..ServeOptions::default()
    };
    let running = Server::over(models, options).unwrap().start().unwrap();
    let body = "{\"inputs\":[]}";
    let mut waiting = begin(running.address.unwrap(), body.len());
    waiting.write_all(body.as_bytes()).unwrap();
    let mut job = line.recv_timeout(Duration::from_secs(20)).unwrap();
    let stop = std::thread::spawn(move || drop(running));
    std::thread::sleep(Duration::from_millis(200));
    job.answer(Ok(crate::Answered {
        version: "1".into(),
        outputs: Vec::new(),
    }));
    assert_eq!(status(waiting), "200");
    stop.join().unwrap();
}

/// Whoever may open the socket's file may ask, without a token.
#[test]
fn a_unix_socket_speaks_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inference.sock");
    let options = ServeOptions {
        address: None,
        socket: Some(path.clone()),
        token: Some("for the address alone".into()),
        ..ServeOptions::default()
    };
    let source = tiny_model(folder.path());
    let running = Server::load(&[source], options.clone()).unwrap().start().unwrap();
    assert_eq!(running.address, None);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let body = format!("{{{GOOD}}}");
    write!(
        stream,
        "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("[0.5,0.5]"),
        "{answer}"
    );
    drop(running);
    assert!(!path.exists(), "a server that stops takes its socket along");
    let nowhere = ServeOptions {
        socket: None,
        ..options
    };
    assert!(matches!(Server::load(&[], nowhere), Err(ServeError::NoListener)));
}

/// While a long text is read, others are answered.
#[test]
fn a_long_body_holds_nobody_up() {
    let (_folder, running) = start(ServeOptions::default());
    let address = running.address.unwrap();
    // Millions of numbers, and one that is none at the very end: all of them are read, no model is run.
    let mut body =
        String::from("{\"inputs\":[{\"name\":\"x\",\"shape\":[6000000,2],\"datatype\":\"FP32\",\"data\":[");
    body.push_str(&"1,".repeat(11_999_999));
    body.push_str("null]}]}");
    let mut long = begin(address, body.len());
    long.write_all(body.as_bytes()).unwrap();
    long.set_nonblocking(true).unwrap();
    let mut between = 0;
    let mut head = [0; 12];
    loop {
        match long.peek(&mut head) {
            Ok(12) => break,
            _ => assert!(ask(address, &format!("{{{GOOD}}}")).starts_with("HTTP/1.1 200")),
        }
        between += 1;
    }
    long.set_nonblocking(false).unwrap();
    assert_eq!(status(long), "400");
    assert!(between > 5, "{between} answers while a long body was read");
}
