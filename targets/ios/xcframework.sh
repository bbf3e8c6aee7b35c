#!/bin/sh
# Makes Sanderling.xcframework of targets/capi, for iPhones, simulators and Macs. Needs a Mac with Xcode and rustup's targets.
set -eu
cd "$(dirname "$0")/../.."

if [ "$(uname -s)" != Darwin ]; then
    echo "xcframework.sh: this is $(uname -s): an XCFramework is made on a Mac, by Xcode's xcodebuild and lipo" >&2
    exit 1
fi
for program in xcodebuild lipo cargo rustup; do
    if ! command -v "$program" >/dev/null; then
        echo "xcframework.sh: $program is not installed: install Xcode, and Rust by rustup" >&2
        exit 1
    fi
done

targets="aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin"
out=target/ios
for target in $targets; do
    if ! rustup target list --installed | grep -qx "$target"; then
        echo "xcframework.sh: Rust's standard library is missing: rustup target add $target" >&2
        exit 1
    fi
done
export IPHONEOS_DEPLOYMENT_TARGET=13.0 MACOSX_DEPLOYMENT_TARGET=11.0
for target in $targets; do
    cargo build --release -p sanderling-capi --target "$target" --target-dir target
done

rm -rf "$out" targets/ios/Sanderling.xcframework
mkdir -p "$out/include" "$out/simulator" "$out/mac"
cp targets/capi/include/sanderling.h "$out/include/"
cp targets/ios/module.modulemap "$out/include/module.modulemap"
library() { echo "target/$1/release/libsanderling.a"; }
lipo -create "$(library aarch64-apple-ios-sim)" "$(library x86_64-apple-ios)" -output "$out/simulator/libsanderling.a"
lipo -create "$(library aarch64-apple-darwin)" "$(library x86_64-apple-darwin)" -output "$out/mac/libsanderling.a"
xcodebuild -create-xcframework \
    -library "$(library aarch64-apple-ios)" -headers "$out/include" \
    -library "$out/simulator/libsanderling.a" -headers "$out/include" \
    -library "$out/mac/libsanderling.a" -headers "$out/include" \
    -output targets/ios/Sanderling.xcframework
