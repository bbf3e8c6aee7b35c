import CSanderling
import Foundation

/// Elements in memory: row-major, of the machine's byte order, by ONNX's number of their type (1 float, 2 uint8, 3 int8,
/// 6 int32, 7 int64, …).
public struct Tensor {
    public var type: Int32
    public var shape: [Int]
    public var data: Data

    public init(type: Int32, shape: [Int], data: Data) {
        self.type = type
        self.shape = shape
        self.data = data
    }
}

/// An input or output, as the model declares it; −1 for a dimension that a run decides.
public struct Port {
    public let name: String
    public let type: Int32
    public let shape: [Int64]
}

/// What a classifier answers.
public struct Answer {
    public let label: String
    public let confidence: Float
    public let rule: Bool
    public let belowThreshold: Bool

    init(_ answer: SanderlingAnswer) {
        label = String(cString: answer.label)
        confidence = answer.confidence
        rule = answer.rule
        belowThreshold = answer.below_threshold
    }
}

/// A loaded model. For one thread at a time: a call while another's is under way throws `.busy`. Runs take milliseconds: call
/// it from a queue or an actor of your own, not from the main one.
public final class Session {
    private let handle: OpaquePointer
    /// Held through a call and the copy of what it lends: C's own lock ends with the call.
    private let lock = NSLock()

    /// Opens a bundle from a file; a memory limit of 0 is 4 GiB.
    public init(contentsOf url: URL, threads: Int = 1, memoryLimit: UInt64 = 0) throws {
        var options = SanderlingOptions(threads: threads, memory_limit: memoryLimit)
        var opened: OpaquePointer?
        try check { sanderling_session_open_file(url.path, &options, &opened, $0) }
        handle = opened!
    }

    /// Opens a bundle that lies in memory; its bytes are copied.
    public init(data: Data, threads: Int = 1, memoryLimit: UInt64 = 0) throws {
        var options = SanderlingOptions(threads: threads, memory_limit: memoryLimit)
        var opened: OpaquePointer?
        try data.withUnsafeBytes { bytes in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            try check { sanderling_session_open(start, bytes.count, &options, &opened, $0) }
        }
        handle = opened!
    }

    init(handle: OpaquePointer) {
        self.handle = handle
    }

    deinit {
        sanderling_session_free(handle)
    }

    private func alone<T>(_ body: () throws -> T) throws -> T {
        guard lock.`try`() else {
            let words = "another thread is using this session: a session is for one thread at a time"
            throw SanderlingError(kind: .busy, description: words)
        }
        defer { lock.unlock() }
        return try body()
    }

    /// What goes in.
    public func inputs() throws -> [Port] {
        try (0..<sanderling_session_input_count(handle)).map { index in
            var port = SanderlingPort()
            try check { sanderling_session_input(handle, index, &port, $0) }
            return Port(port)
        }
    }

    /// What comes out.
    public func outputs() throws -> [Port] {
        try (0..<sanderling_session_output_count(handle)).map { index in
            var port = SanderlingPort()
            try check { sanderling_session_output(handle, index, &port, $0) }
            return Port(port)
        }
    }

    /// Runs the model on inputs by name, which are read where they lie.
    public func run(_ inputs: [String: Tensor]) throws -> [String: Tensor] {
        try alone {
            try withTensors(inputs) { tensors in
                try check { sanderling_session_run(handle, tensors, tensors.count, $0) }
            }
            var outputs: [String: Tensor] = [:]
            for index in 0..<sanderling_session_output_count(handle) {
                var lent = SanderlingTensor()
                try check { sanderling_session_result(handle, index, &lent, $0) }
                let shape = Array(UnsafeBufferPointer(start: lent.shape, count: lent.rank))
                let data = lent.bytes == 0 ? Data() : Data(bytes: lent.data, count: lent.bytes)
                outputs[String(cString: lent.name)] = Tensor(type: lent.dtype, shape: shape, data: data)
            }
            return outputs
        }
    }

    /// Answers a file's bytes by the bundle's own pre- and post-processing.
    public func answer(_ file: Data) throws -> Answer {
        try alone {
            var answer = SanderlingAnswer()
            try file.withUnsafeBytes { bytes in
                let start = bytes.bindMemory(to: UInt8.self).baseAddress
                try check { sanderling_session_answer(handle, start, bytes.count, &answer, $0) }
            }
            return Answer(answer)
        }
    }

    /// Answers a picture: `width` × `height` pixels of 8-bit red, green and blue, row by row without gaps.
    public func answer(rgb: Data, width: Int, height: Int) throws -> Answer {
        guard width >= 0, height >= 0 else {
            throw SanderlingError(kind: .argument, description: "a picture of \(width) × \(height) pixels: sizes are not negative")
        }
        return try alone {
            var answer = SanderlingAnswer()
            try rgb.withUnsafeBytes { bytes in
                let start = bytes.bindMemory(to: UInt8.self).baseAddress
                try check { sanderling_session_answer_image(handle, width, height, start, bytes.count, &answer, $0) }
            }
            return Answer(answer)
        }
    }

    /// The labels of a classifier, by their index in the scores; none where the bundle has none.
    public var labels: [String] {
        (0..<sanderling_session_label_count(handle)).compactMap { index in
            sanderling_session_label(handle, index).map { String(cString: $0) }
        }
    }

    /// The digests of the integer layers, as the JSON that `sanderling hash --against` reads.
    public func hash(_ inputs: [String: Tensor]) throws -> String {
        try alone {
            var json: UnsafeMutablePointer<CChar>?
            try withTensors(inputs) { tensors in
                try check { sanderling_session_hash(handle, tensors, tensors.count, &json, $0) }
            }
            return taken(json) ?? ""
        }
    }

    /// The inputs as C has them, while `body` runs.
    private func withTensors(_ inputs: [String: Tensor], _ body: ([SanderlingTensor]) throws -> Void) throws {
        var rest = Array(inputs)
        var tensors: [SanderlingTensor] = []
        func next() throws {
            guard let (name, tensor) = rest.popLast() else { return try body(tensors) }
            try name.withCString { name in
                try tensor.shape.withUnsafeBufferPointer { shape in
                    try tensor.data.withUnsafeBytes { data in
                        tensors.append(
                            SanderlingTensor(
                                name: name, dtype: tensor.type, rank: shape.count,
                                shape: shape.baseAddress,
                                data: data.baseAddress, bytes: data.count))
                        try next()
                    }
                }
            }
        }
        try next()
    }
}

extension Port {
    init(_ port: SanderlingPort) {
        name = String(cString: port.name)
        type = port.dtype
        shape = Array(UnsafeBufferPointer(start: port.shape, count: port.rank))
    }
}
