import Foundation

/// The platform's own HTTP client: its trust store and App Transport Security hold. Answers come whole, up to what was asked for.
public final class URLSessionTransport: NSObject, Transport, URLSessionDataDelegate {
    private let done = DispatchSemaphore(value: 0)
    private var limit: UInt64 = 0
    private var response: HTTPURLResponse?
    private var data = Data()
    private var problem: Error?
    private lazy var session = URLSession(configuration: .ephemeral, delegate: self, delegateQueue: nil)

    /// Ends when nobody has it any more: call `finish` first.
    public func finish() {
        session.finishTasksAndInvalidate()
    }

    public func send(
        _ request: URLRequest, maxBody: UInt64, head: (Int, [String: String]) throws -> Bool,
        body: (Data) throws -> Bool
    ) throws {
        (limit, response, data, problem) = (maxBody, nil, Data(), nil)
        session.dataTask(with: request).resume()
        done.wait()
        if let problem = problem { throw problem }
        guard let response = response else { throw URLError(.badServerResponse) }
        var headers: [String: String] = [:]
        for (name, value) in response.allHeaderFields {
            headers["\(name)"] = "\(value)"
        }
        guard try head(response.statusCode, headers) else { return }
        if !data.isEmpty { _ = try body(data) }
    }

    public func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }

    public func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive part: Data) {
        data.append(part)
        // One byte too many is enough for the updater to see it.
        if UInt64(data.count) > limit {
            problem = URLError(.dataLengthExceedsMaximum)
            dataTask.cancel()
        }
    }

    public func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: Error?) {
        problem = problem ?? error
        response = task.response as? HTTPURLResponse
        done.signal()
    }
}
