import CSanderling

/// What went wrong: who can mend it, and a text that says what, where and what to do.
public struct SanderlingError: Error, CustomStringConvertible {
    public enum Kind: Int {
        /// An argument of the call.
        case argument = 1
        /// The bundle: damaged, of another version, in need of what this library has not.
        case bundle = 2
        /// An input of the model: its name, type, shape or values.
        case input = 3
        /// The run itself.
        case run = 4
        /// Another thread is using the session or stepping the updater.
        case busy = 5
        /// A file that cannot be read.
        case file = 6
        /// A fault of the library: please report it.
        case `internal` = 7
        /// The updater's state folder, or its enrolment.
        case state = 9
        /// There is no intact model: neither in a slot nor from the factory.
        case noModel = 10
        /// More memory than the limit allows.
        case tooLarge = 11
    }

    public let kind: Kind
    public let description: String
}

/// Makes a call, and throws what it says.
func check(_ call: (UnsafeMutablePointer<OpaquePointer?>) -> SanderlingStatus) throws {
    var error: OpaquePointer?
    let status = call(&error)
    guard status != SANDERLING_STATUS_OK else { return }
    defer { sanderling_error_free(error) }
    let text = sanderling_error_message(error).map { String(cString: $0) } ?? "no words"
    let kind = SanderlingError.Kind(rawValue: Int(status.rawValue)) ?? .internal
    throw SanderlingError(kind: kind, description: text)
}

/// Text that the library gives away.
func taken(_ text: UnsafeMutablePointer<CChar>?) -> String? {
    guard let text = text else { return nil }
    defer { sanderling_string_free(text) }
    return String(cString: text)
}
