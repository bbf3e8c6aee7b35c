// swift-tools-version: 5.9
import PackageDescription

// `xcframework.sh` makes Sanderling.xcframework beside this file, of targets/capi.
let package = Package(
    name: "Sanderling",
    platforms: [.iOS(.v13), .macOS(.v11)],
    products: [.library(name: "Sanderling", targets: ["Sanderling"])],
    targets: [
        .binaryTarget(name: "CSanderling", path: "Sanderling.xcframework"),
        .target(name: "Sanderling", dependencies: ["CSanderling"]),
        .testTarget(name: "SanderlingTests", dependencies: ["Sanderling"]),
    ]
)
