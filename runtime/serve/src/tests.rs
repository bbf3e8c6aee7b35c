use crate::protocol::{TensorData, TensorMetadata};
use crate::{HttpEndpoint, ModelSource, ServeError, ServeOptions, Server};
use sanderling_session::{DType, Tensor};
use serde_json::json;
use std::path::Path;

fn data(datatype: &str, shape: &[usize], data: serde_json::Value) -> TensorData {
    TensorData {
        name: "x".to_string(),
        shape: shape.to_vec(),
        datatype: datatype.to_string(),
        data,
    }
}

#[test]
fn tensors_round_trip() {
    for tensor in [
        Tensor::from_slice(&[2, 2], &[1.5f32, -2.0, 0.0, 1e-30]).unwrap(),
        Tensor::from_slice(&[3], &[i64::MIN, 0, i64::MAX]).unwrap(),
        Tensor::from_slice(&[2], &[0u8, 255]).unwrap(),
        Tensor::from_bytes(DType::Bool, &[2], &[0, 1]).unwrap(),
    ] {
        let sent = TensorData::from_view("x", tensor.view()).unwrap();
        let text = serde_json::to_string(&sent).unwrap();
        let received: TensorData = serde_json::from_str(&text).unwrap();
        assert_eq!(received.to_tensor().unwrap(), tensor);
    }
}

#[test]
fn nested_lists_are_flat_ones() {
    let nested = data("INT32", &[2, 2], json!([[1, 2], [3, 4]]))
        .to_tensor()
        .unwrap();
    assert_eq!(
        nested,
        data("INT32", &[2, 2], json!([1, 2, 3, 4])).to_tensor().unwrap()
    );
}

#[test]
fn what_does_not_hang_together_is_named() {
    let check = |bad: TensorData, words: &str| {
        let error = bad.to_tensor().unwrap_err().to_string();
        assert!(error.contains("'x'") && error.contains(words), "{error}");
    };
    check(data("FP32", &[3], json!([1, 2])), "12 bytes");
    check(data("FP99", &[1], json!([1])), "FP99");
    check(data("UINT8", &[1], json!([256])), "256");
    check(data("INT32", &[1], json!(["a"])), "\"a\"");
    check(data("INT32", &[usize::MAX, 2], json!([1])), "shape");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    check(data("INT32", &[1], deep), "deep");
    let nan = Tensor::from_slice(&[1], &[f32::NAN]).unwrap();
    assert!(
        TensorData::from_view("x", nan.view())
            .unwrap_err()
            .to_string()
            .contains("NaN")
    );
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
        address: ([0, 0, 0, 0], 0).into(),
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

/// A body is counted before it is read: its head alone takes the room, another one is refused at once.
#[test]
fn bodies_are_refused_before_they_are_read() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_model(folder.path());
    let options = ServeOptions {
        address: ([127, 0, 0, 1], 0).into(),
        max_body: 4096,
        max_bodies: 4096,
        ..ServeOptions::default()
    };
    let running = Server::load(&[source], options).unwrap().start().unwrap();
    let begin = |length: usize| {
        let mut stream = std::net::TcpStream::connect(running.address).unwrap();
        write!(
            stream,
            "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let status = |mut stream: std::net::TcpStream| {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    assert_eq!(status(begin(4097)), "413");
    let mut first = begin(4096);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(
        status(begin(4096)),
        "503",
        "the first one's head took all the room"
    );
    first.write_all(&[b' '; 4096]).unwrap();
    assert_eq!(status(first), "400");
    let mut next = begin(2);
    next.write_all(b"{}").unwrap();
    assert_eq!(status(next), "400", "and gives it back");
}
