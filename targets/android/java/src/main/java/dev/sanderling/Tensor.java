package dev.sanderling;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Elements in a direct buffer, row-major, in the machine's byte order; Java's own is big-endian until a buffer is told
 * `order(ByteOrder.nativeOrder())`, and elements of several bytes are refused in another. The model reads an input where it lies,
 * between position and limit: do not write to it during a run.
 */
public final class Tensor {
    private final DType type;
    private final long[] shape;
    private final ByteBuffer data;

    /** A tensor over a direct buffer. What does not fit is said by the run. */
    public Tensor(DType type, long[] shape, ByteBuffer data) {
        if (type == null || shape == null || data == null) {
            throw new SanderlingException.Argument("a tensor needs a type, a shape and data: one of them is null");
        }
        this.type = type;
        this.shape = shape.clone();
        this.data = data;
    }

    /** A tensor of zeros, to be filled. */
    public static Tensor zeros(DType type, long... shape) {
        long bytes = type.bytes();
        for (long size : shape) {
            bytes = Math.multiplyExact(bytes, size);
        }
        return new Tensor(
                type, shape, ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.nativeOrder()));
    }

    /** Element type. */
    public DType type() {
        return type;
    }

    /** Sizes, outermost first. */
    public long[] shape() {
        return shape.clone();
    }

    /** The elements. */
    public ByteBuffer data() {
        return data;
    }
}
