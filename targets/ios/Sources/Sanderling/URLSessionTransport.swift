import Foundation
import Security

/// The platform's own HTTP client: App Transport Security holds. Answers come whole, up to what was asked for.
public final class URLSessionTransport: NSObject, Transport, URLSessionDataDelegate {
    private let done = DispatchSemaphore(value: 0)
    /// The only one that may vouch for the server; nil: whom the system trusts.
    private let authority: SecCertificate?
    private var limit: UInt64 = 0
    private var response: HTTPURLResponse?
    private var data = Data()
    private var problem: Error?
    private lazy var session = URLSession(configuration: .ephemeral, delegate: self, delegateQueue: nil)

    /// Trusts whom the system trusts.
    public override init() {
        authority = nil
        super.init()
    }

    /// Trusts whom the updater's enrolment string names: its own authority where there is one, else whom the system trusts.
    public init(for updater: Updater) throws {
        if let hex = try updater.state().tlsCa {
            guard let der = URLSessionTransport.bytes(hex), let certificate = SecCertificateCreateWithData(nil, der as CFData) else {
                let words = "the certificate authority in the enrolment string cannot be used: it is no X.509 certificate"
                throw SanderlingError(kind: .state, description: words)
            }
            authority = certificate
        } else {
            authority = nil
        }
        super.init()
    }

    /// Ends when nobody has it any more: call `finish` first.
    public func finish() {
        session.finishTasksAndInvalidate()
    }

    public func send(
        _ request: URLRequest, maxBody: UInt64, stopped: () -> Bool, head: (Int, [String: String]) throws -> Bool,
        body: (Data) throws -> Bool
    ) throws {
        (limit, response, data, problem) = (maxBody, nil, Data(), nil)
        // A request's own interval is for the time between two packets; a session's for a whole exchange is one for all requests.
        let deadline = Date() + request.timeoutInterval
        let task = session.dataTask(with: request)
        task.resume()
        var ended: URLError?
        while done.wait(timeout: .now() + .milliseconds(200)) == .timedOut {
            if stopped() {
                ended = URLError(.cancelled)
            } else if Date() > deadline {
                ended = URLError(.timedOut)
            } else {
                continue
            }
            task.cancel()
            // The delegate is told of a task's end once, cancelled or not.
            done.wait()
            break
        }
        if let ended = ended { throw ended }
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
        _ session: URLSession, didReceive challenge: URLAuthenticationChallenge,
        completionHandler: @escaping (URLSession.AuthChallengeDisposition, URLCredential?) -> Void
    ) {
        guard let authority = authority, let trust = challenge.protectionSpace.serverTrust else {
            completionHandler(.performDefaultHandling, nil)
            return
        }
        // Names and dates are held to as ever: only who may vouch for them is another.
        guard SecTrustSetAnchorCertificates(trust, [authority] as CFArray) == errSecSuccess,
            SecTrustSetAnchorCertificatesOnly(trust, true) == errSecSuccess,
            SecTrustEvaluateWithError(trust, nil)
        else {
            problem = URLError(.serverCertificateUntrusted)
            completionHandler(.cancelAuthenticationChallenge, nil)
            return
        }
        completionHandler(.useCredential, URLCredential(trust: trust))
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

    /// The bytes of hexadecimal digits.
    static func bytes(_ hex: String) -> Data? {
        let digits = hex.compactMap { $0.hexDigitValue }
        guard digits.count == hex.count, digits.count % 2 == 0 else { return nil }
        return Data(stride(from: 0, to: digits.count, by: 2).map { UInt8(16 * digits[$0] + digits[$0 + 1]) })
    }
}
