use crate::protocol::{TensorData, TensorMetadata};
use crate::{HttpEndpoint, ModelSource, ServeError, ServeOptions, Server};
use sanderling_bundle::{BundleBuilder, Dim as SpecDim, Manifest, ValueSpec};
use sanderling_core::{Dim, Graph, Node, TensorType, Value, plan};
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
        Tensor::from_bytes(sanderling_session::DType::Bool, &[2], &[0, 1]).unwrap(),
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
        "http://127.0.0.1:80@models.example",
        "http://127.0.0.1.models.example",
        "models.example",
        "",
    ] {
        let refused = HttpEndpoint::new(url, None).err();
        assert!(
            matches!(refused, Some(ServeError::InsecureEndpoint { .. })),
            "{url}"
        );
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

/// A bundle with y = softmax(x), x [1, 2], as model `tiny`.
fn tiny_model(folder: &Path) -> ModelSource {
    let mut graph = Graph::default();
    let [x, y] = ["x", "y"].map(|name| {
        graph.add_value(Value {
            name: name.into(),
            ty: Some(TensorType {
                dtype: DType::F32,
                shape: vec![Dim::Fixed(1), Dim::Fixed(2)],
            }),
            constant: None,
        })
    });
    graph.nodes = vec![Node {
        op_type: "Softmax".into(),
        opset: 13,
        inputs: vec![Some(x)],
        outputs: vec![Some(y)],
        ..Node::default()
    }];
    (graph.inputs, graph.outputs) = (vec![x], vec![y]);
    let spec = |name: &str| ValueSpec {
        name: name.into(),
        dtype: DType::F32,
        dims: vec![SpecDim::Fixed(1), SpecDim::Fixed(2)],
        range: None,
        layout: None,
        semantic: None,
    };
    let (bytes, _) = plan::encode(&graph, &plan::Arena::default()).unwrap();
    let mut builder = BundleBuilder::new(Manifest {
        name: "tiny".into(),
        version: "1".into(),
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        operators: vec!["ai.onnx:Softmax".into()],
        ..Manifest::default()
    });
    builder.plan("any", bytes).unwrap();
    let path = folder.join("tiny.sdl");
    std::fs::write(&path, builder.finish().unwrap()).unwrap();
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
    let begin = |length: usize, more: &str| {
        let mut stream = std::net::TcpStream::connect(running.address).unwrap();
        write!(
            stream,
            "POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream
    };
    let status = |mut stream: std::net::TcpStream| {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
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
