package dev.sanderling;

import java.nio.ByteBuffer;

/** The native methods: `targets/android/src` in Rust. A pointer of 0 is a closed handle, and throws. */
final class Native {
    static {
        System.loadLibrary("sanderling_android");
    }

    private Native() {}

    static native long open(ByteBuffer bundle, int threads, long memoryLimit);

    static native long openFile(String path, int threads, long memoryLimit);

    static native void free(long session);

    static native void describe(long session, Sinks.Described sink);

    static native void run(
            long session, String[] names, int[] types, long[][] shapes, ByteBuffer[] data, Sinks.Outputs sink);

    static native void layers(
            long session, String[] names, int[] types, long[][] shapes, ByteBuffer[] data, Sinks.Layers sink);

    static native void check(long session);

    static native void answer(long session, ByteBuffer file, int top, Sinks.Answered sink);

    static native long updaterOpen(
            String state,
            String enrolment,
            String hardware,
            String factory,
            int threads,
            long memoryLimit,
            long dailyBudget,
            int trialSeconds);

    static native void updaterFree(long updater);

    static native long updaterStep(long updater, Sinks.Requested sink);

    static native long updaterWait(long updater);

    static native boolean updaterRespond(long updater, long id, int status, String[] headers);

    static native boolean updaterBody(long updater, long id, byte[] block, int length);

    static native void updaterEnd(long updater, long id);

    static native void updaterFailed(long updater, long id, int cause, String detail);

    static native void updaterCheckIn(long updater);

    static native void updaterRest(long updater);

    static native void updaterAnswer(long updater, ByteBuffer file, int top, Sinks.Answered sink);

    static native long updaterSession(long updater);

    static native void updaterState(long updater, Sinks.Pairs sink);

    static native String updaterLine(long updater);
}
