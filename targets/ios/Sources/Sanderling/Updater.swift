import CSanderling
import Foundation

/// Carries an updater's requests to the fleet server. They are signed: send them as they are, and follow no redirects.
public protocol Transport {
    /// The answer, whose body is handed on as it comes: `body` says whether more is wanted. `stopped` is asked several times a second
    /// while nothing comes: where it says so, the exchange is given up and an error thrown. The request's `timeoutInterval` is for the
    /// whole exchange.
    func send(
        _ request: URLRequest, maxBody: UInt64, stopped: () -> Bool, head: (Int, [String: String]) throws -> Bool,
        body: (Data) throws -> Bool
    ) throws
}

/// What an updater says of itself.
public struct UpdaterState: Decodable {
    public let device: String
    public let server: String
    public let enrolled: Bool
    /// Idle, Downloading, SelfTest, Trial or NoModel.
    public let phase: String
    /// SHA-256 of the image that answers.
    public let image: String?
    /// Where it lies: `factory`, `slot a` or `slot b`.
    public let place: String?
    public let model: String?
    public let version: String?
    public let standby: String?
    /// SHA-256 of the bundle that came with the app.
    public let factory: String?
    /// The only authority that may vouch for the server (X.509, DER, in hexadecimal); none: the system's.
    let tlsCa: String?
}

/// Keeps an app's model up to date: it enrols the device, checks in, fetches what the fleet's owner signed, tests it, flips to it
/// and falls back by itself. It has no threads, timers or network of its own: `work` does a stretch of all that when the app's
/// scheduler says so, as a task of BGTaskScheduler does. `answer` answers meanwhile.
///
/// The state folder holds the device's key and the images, and is kept out of backups: a restored copy would be a second device
/// with the same key. The bundle that came with the app is kept out, too, where it is a file that the app made.
///
/// `work` is for one thread at a time: a second one's throws `.busy`. All else may be called from any thread; `rest` and `checkIn` do not
/// wait for a `work` that is under way, which does what they ask for.
public final class Updater {
    private let handle: OpaquePointer
    /// Each is held through a call and the copy of what it lends: C's own lock ends with the call.
    private let answering = NSLock()
    private let working = NSLock()

    /// Opens the state folder, and loads the image that answers: not on the main queue.
    public init(
        state: URL, hardware: String, enrolment: String? = nil, factory: URL? = nil, threads: Int = 1,
        memoryLimit: UInt64 = 0, dailyBudget: UInt64 = 0, trialSeconds: UInt32 = 0
    ) throws {
        do {
            try FileManager.default.createDirectory(at: state, withIntermediateDirectories: true)
            try Updater.keepOutOfBackups(state)
            if let factory = factory, !factory.path.hasPrefix(Bundle.main.bundlePath) {
                try Updater.keepOutOfBackups(factory)
            }
        } catch let error as CocoaError {
            throw SanderlingError(kind: .file, description: error.localizedDescription)
        }
        var opened: OpaquePointer?
        try Updater.withText(state.path, hardware, enrolment, factory?.path) { texts in
            var options = SanderlingUpdaterOptions(
                state: texts[0], enrolment: texts[2], hardware: texts[1], factory: texts[3],
                model: SanderlingOptions(threads: threads, memory_limit: memoryLimit),
                daily_budget: dailyBudget, trial_seconds: trialSeconds)
            try check { sanderling_updater_open(&options, &opened, $0) }
        }
        handle = opened!
    }

    deinit {
        sanderling_updater_free(handle)
    }

    /// Answers a file's bytes from the image that serves; counted for the fleet.
    public func answer(_ file: Data) throws -> Answer {
        answering.lock()
        defer { answering.unlock() }
        var answer = SanderlingAnswer()
        try file.withUnsafeBytes { bytes in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            try check { sanderling_updater_answer(handle, start, bytes.count, &answer, $0) }
        }
        return Answer(answer)
    }

    /// The image that serves, for what `answer` does not do. It stays that image; what is run on it is not counted.
    public func session() throws -> Session {
        var session: OpaquePointer?
        try check { sanderling_updater_session(handle, &session, $0) }
        return Session(handle: session!)
    }

    /// Does what is to be done until a moment: check in, fetch, test, flip. Gives the seconds after which there is more to do: what
    /// the next task's `earliestBeginDate` should be. `stopped` is asked several times a second, for a task's
    /// expiration handler: a request that is under way is given up then, and a download goes on where it stopped the next time.
    public func work(transport: Transport, until: Date, stopped: () -> Bool = { false }) throws -> TimeInterval {
        guard working.`try`() else {
            throw SanderlingError(kind: .busy, description: "another thread is working this updater: one scheduler drives it")
        }
        defer {
            try? rest()
            working.unlock()
        }
        while !stopped() && Date() < until {
            var request = SanderlingRequest()
            var wait: UInt64 = 0
            try check { sanderling_updater_step(handle, &request, &wait, $0) }
            if request.id != 0 {
                try carry(request, transport, stopped)
            } else if Date() + TimeInterval(wait) / 1000 >= until {
                return TimeInterval(wait) / 1000
            } else {
                let woken = Date() + TimeInterval(wait) / 1000
                while !stopped() && Date() < woken {
                    Thread.sleep(forTimeInterval: min(0.2, max(0, woken.timeIntervalSinceNow)))
                }
            }
        }
        var wait: UInt64 = 0
        try check { sanderling_updater_wait(handle, &wait, $0) }
        return TimeInterval(wait) / 1000
    }

    /// Checks in at the next `work`: a push message came, or the user asked.
    public func checkIn() throws {
        try check { sanderling_updater_check_in(handle, $0) }
    }

    /// Puts what was counted on the disk, and takes this start of the app for a good one. `work` does it; call it in
    /// `sceneDidEnterBackground`, too: starts that end without it count as crashes of an image on trial.
    public func rest() throws {
        try check { sanderling_updater_rest(handle, $0) }
    }

    /// What the updater says of itself.
    public func state() throws -> UpdaterState {
        var json: UnsafeMutablePointer<CChar>?
        try check { sanderling_updater_state(handle, &json, $0) }
        let text = taken(json) ?? ""
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(UpdaterState.self, from: Data(text.utf8))
    }

    /// The next line of the updater's log, oldest first.
    public func logLine() throws -> String? {
        var line: UnsafeMutablePointer<CChar>?
        try check { sanderling_updater_line(handle, &line, $0) }
        return taken(line)
    }

    private struct Stopped: Error {}

    private func carry(_ request: SanderlingRequest, _ transport: Transport, _ stopped: () -> Bool) throws {
        let id = request.id
        guard let url = URL(string: String(cString: request.url)) else {
            return try failed(id, URLError(.badURL))
        }
        var wanted = URLRequest(url: url, timeoutInterval: TimeInterval(request.timeout_s))
        wanted.httpMethod = String(cString: request.method)
        for index in 0..<request.header_count {
            let (name, value) = (request.headers[2 * index]!, request.headers[2 * index + 1]!)
            wanted.setValue(String(cString: value), forHTTPHeaderField: String(cString: name))
        }
        wanted.setValue("identity", forHTTPHeaderField: "accept-encoding")
        if request.body_length > 0 {
            wanted.httpBody = Data(bytes: request.body, count: request.body_length)
        }
        var whole = true
        do {
            try transport.send(wanted, maxBody: request.max_body, stopped: stopped) { status, headers in
                whole = try respond(id, status, headers)
                return whole
            } body: { data in
                if stopped() { throw Stopped() }
                whole = try body(id, data)
                return whole
            }
        } catch let error as SanderlingError {
            // Told as what it is, not as an answer that took too long.
            try? failed(id, error)
            throw error
        } catch {
            return try failed(id, error)
        }
        if whole {
            try check { sanderling_updater_end(handle, id, $0) }
        }
    }

    private func respond(_ id: UInt64, _ status: Int, _ headers: [String: String]) throws -> Bool {
        let words = headers.flatMap { [strdup($0.key.lowercased()), strdup($0.value)] }
        defer { words.forEach { free($0) } }
        let lent = words.map { UnsafePointer<CChar>($0) }
        var more = false
        try check {
            sanderling_updater_respond(handle, id, UInt16(clamping: status), lent, headers.count, &more, $0)
        }
        return more
    }

    private func body(_ id: UInt64, _ data: Data) throws -> Bool {
        var more = false
        try data.withUnsafeBytes { bytes in
            let start = bytes.bindMemory(to: UInt8.self).baseAddress
            try check { sanderling_updater_body(handle, id, start, bytes.count, &more, $0) }
        }
        return more
    }

    private func failed(_ id: UInt64, _ error: Error) throws {
        let cause: Int32
        switch (error as? URLError)?.code {
        case .some(.timedOut): cause = 1
        case .some(.cannotConnectToHost), .some(.cannotFindHost), .some(.notConnectedToInternet): cause = 0
        default: cause = 2
        }
        let words = (error as? SanderlingError)?.description ?? error.localizedDescription
        try check { sanderling_updater_failed(handle, id, cause, words, $0) }
    }

    private static func keepOutOfBackups(_ url: URL) throws {
        var url = url
        var values = URLResourceValues()
        values.isExcludedFromBackup = true
        try url.setResourceValues(values)
    }

    private static func withText(_ texts: String?..., body: ([UnsafePointer<CChar>?]) throws -> Void) throws {
        let copies = texts.map { text in text.flatMap { strdup($0) } }
        defer { copies.forEach { free($0) } }
        try body(copies.map { copy in copy.map { UnsafePointer<CChar>($0) } })
    }
}
