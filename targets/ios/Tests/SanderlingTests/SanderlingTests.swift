import Foundation
import XCTest

@testable import Sanderling

/// On a Mac: SANDERLING_MODEL is a bundle that answers files, as `sanderling pack examples/magika/sanderling.toml` makes one.
final class SanderlingTests: XCTestCase {
    private func model() throws -> URL {
        guard let path = ProcessInfo.processInfo.environment["SANDERLING_MODEL"] else {
            throw XCTSkip("SANDERLING_MODEL names no bundle")
        }
        return URL(fileURLWithPath: path)
    }

    private let text = Data(String(repeating: "# A title\n\nSome text.\n", count: 20).utf8)

    func testAnswers() throws {
        let session = try Session(contentsOf: model())
        XCTAssertEqual(try session.inputs().first?.name, "bytes")
        XCTAssertEqual(try session.answer(text).label, "markdown")
        XCTAssertTrue(session.labels.contains("markdown"))
        XCTAssertThrowsError(try session.answer(rgb: Data(count: 5), width: 1, height: 2))
        XCTAssertThrowsError(try session.answer(rgb: Data(), width: -1, height: 2))
        let input = Tensor(type: 6, shape: [1, 2048], data: Data(count: 4 * 2048))
        XCTAssertEqual(try session.run(["bytes": input]).count, try session.outputs().count)
        XCTAssertTrue(try session.hash(["bytes": input]).contains("layers"))
    }

    func testSaysWhatIsWrong() throws {
        XCTAssertThrowsError(try Session(data: Data(count: 9))) { error in
            XCTAssertEqual((error as? SanderlingError)?.kind, .bundle)
        }
        let session = try Session(contentsOf: model())
        XCTAssertThrowsError(try session.run([:])) { error in
            XCTAssertEqual((error as? SanderlingError)?.kind, .input)
        }
    }

    func testTwoQueuesOnOneSession() throws {
        let session = try Session(contentsOf: model())
        let wrong = DispatchQueue(label: "wrong")
        var (answered, problems) = (0, [String]())
        DispatchQueue.concurrentPerform(iterations: 200) { _ in
            do {
                let label = try session.answer(text).label
                wrong.sync {
                    answered += 1
                    if label != "markdown" { problems.append(label) }
                }
            } catch {
                wrong.sync {
                    if (error as? SanderlingError)?.kind != .busy { problems.append("\(error)") }
                }
            }
        }
        XCTAssertGreaterThan(answered, 0)
        XCTAssertEqual(problems, [])
    }

    func testReadsHexadecimalDigits() {
        XCTAssertEqual(URLSessionTransport.bytes("00ff1A"), Data([0, 255, 26]))
        XCTAssertNil(URLSessionTransport.bytes("0"))
        XCTAssertNil(URLSessionTransport.bytes("zz"))
    }

    func testKeysStayOutOfBackups() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        // It is no enrolment string: the folder is made and left out of backups before anything else.
        XCTAssertThrowsError(try Updater(state: folder, hardware: "phone", enrolment: "none"))
        let values = try folder.resourceValues(forKeys: [.isExcludedFromBackupKey])
        XCTAssertEqual(values.isExcludedFromBackup, true)
        try FileManager.default.removeItem(at: folder)
    }
}
