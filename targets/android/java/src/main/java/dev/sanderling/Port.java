package dev.sanderling;

/** An input or output, as the model declares it. */
public final class Port {
    private final String name;
    private final DType type;
    private final long[] shape;

    Port(String name, DType type, long[] shape) {
        this.name = name;
        this.type = type;
        this.shape = shape;
    }

    /** ONNX name. */
    public String name() {
        return name;
    }

    /** Element type; null where the model does not say. */
    public DType type() {
        return type;
    }

    /** Sizes, outermost first; −1 for a dimension that a run decides. */
    public long[] shape() {
        return shape.clone();
    }
}
