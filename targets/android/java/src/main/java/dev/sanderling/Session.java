package dev.sanderling;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * A loaded model.
 *
 * <p>For one thread at a time: a call while another thread's is under way throws {@link SanderlingException.Busy}. Closing
 * waits for a call that is under way; later ones throw {@link SanderlingException.Closed}. Runs take milliseconds: on
 * Android use {@link #answerAsync} or a thread of your own, not the main thread.
 */
public final class Session implements AutoCloseable {
    private final Handle handle;
    private final Sinks.Described described = new Sinks.Described();

    Session(long pointer) {
        handle = new Handle(pointer, Native::free);
        try {
            handle.use(
                    p -> {
                        Native.describe(p, described);
                        return null;
                    });
        } catch (RuntimeException refused) {
            handle.close();
            throw refused;
        }
        handle.catchFor(this);
    }

    /** Opens a bundle from a file, on one thread and with up to 4 GiB. */
    public static Session open(String path) {
        return open(path, 1, 0);
    }

    /** Opens a bundle from a file; a memory limit of 0 is 4 GiB. */
    public static Session open(String path, int threads, long memoryLimit) {
        return new Session(Native.openFile(path, threads, memoryLimit));
    }

    /** Opens a bundle from a direct buffer, as `FileChannel.map` gives one; its bytes are copied. */
    public static Session open(ByteBuffer bundle) {
        return new Session(Native.open(slice(bundle), 1, 0));
    }

    /** The model's name: stable over its versions. */
    public String name() {
        return described.name;
    }

    /** The owner's version. */
    public String version() {
        return described.version;
    }

    /** SHA-256 of the bundle, in hexadecimal. */
    public String digest() {
        return described.digest;
    }

    /** What goes in. */
    public List<Port> inputs() {
        return Collections.unmodifiableList(described.inputs);
    }

    /** What comes out. */
    public List<Port> outputs() {
        return Collections.unmodifiableList(described.outputs);
    }

    /** Labels of a classifier, by index; empty where the bundle has none. */
    public List<String> labels() {
        return Collections.unmodifiableList(described.labels);
    }

    /** Runs the model. Inputs are read where they lie; outputs are written to direct buffers of their own. */
    public Map<String, Tensor> run(Map<String, Tensor> inputs) {
        Given given = new Given(inputs);
        Sinks.Outputs outputs = new Sinks.Outputs();
        return handle.use(
                p -> {
                    Native.run(p, given.names, given.types, given.shapes, given.data, outputs);
                    return outputs.tensors;
                });
    }

    /** Runs the model and gives every layer, with the digests of those that compute integers. */
    public List<Layer> layers(Map<String, Tensor> inputs) {
        Given given = new Given(inputs);
        Sinks.Layers layers = new Sinks.Layers();
        return handle.use(
                p -> {
                    Native.layers(p, given.names, given.types, given.shapes, given.data, layers);
                    return layers.layers;
                });
    }

    /** Answers a file's bytes (a direct buffer) by the bundle's own pre- and post-processing, with the five best labels. */
    public Answer answer(ByteBuffer file) {
        return answer(file, 5);
    }

    /** Answers a file's bytes (a direct buffer), with so many of the best labels. */
    public Answer answer(ByteBuffer file, int top) {
        ByteBuffer bytes = slice(file);
        Sinks.Answered answered = new Sinks.Answered();
        return handle.use(
                p -> {
                    Native.answer(p, bytes, top, answered);
                    return answered.answer();
                });
    }

    /** {@link #answer(ByteBuffer)} on an executor's thread: one of a single thread queues what comes meanwhile. */
    public CompletableFuture<Answer> answerAsync(ByteBuffer file, Executor executor) {
        return CompletableFuture.supplyAsync(() -> answer(file), executor);
    }

    /** Runs the golden vectors; throws {@link SanderlingException.Bundle} with what failed. */
    public void check() {
        handle.use(
                p -> {
                    Native.check(p);
                    return null;
                });
    }

    /** Whether it was closed. */
    public boolean isClosed() {
        return handle.isClosed();
    }

    @Override
    public void close() {
        handle.close();
    }

    /** What lies between position and limit, as a buffer of its own; null stays null, for the native side to refuse. */
    static ByteBuffer slice(ByteBuffer buffer) {
        return buffer == null ? null : buffer.slice();
    }

    /** Inputs as native methods take them: one array for each part of them. */
    private static final class Given {
        final String[] names;
        final int[] types;
        final long[][] shapes;
        final ByteBuffer[] data;

        Given(Map<String, Tensor> inputs) {
            if (inputs == null) {
                throw new SanderlingException.Argument("the inputs are null");
            }
            names = inputs.keySet().toArray(new String[0]);
            types = new int[names.length];
            shapes = new long[names.length][];
            data = new ByteBuffer[names.length];
            for (int i = 0; i < names.length; i++) {
                Tensor tensor = inputs.get(names[i]);
                if (tensor == null) {
                    throw new SanderlingException.Argument("input '" + names[i] + "' is null");
                }
                if (tensor.type().bytes() > 1 && tensor.data().order() != ByteOrder.nativeOrder()) {
                    throw new SanderlingException.Argument("input '" + names[i] + "': its buffer is "
                            + tensor.data().order() + ", this machine is " + ByteOrder.nativeOrder()
                            + ": call order(ByteOrder.nativeOrder()) before filling it");
                }
                types[i] = tensor.type().code();
                shapes[i] = tensor.shape();
                data[i] = tensor.data().slice();
            }
        }
    }
}
