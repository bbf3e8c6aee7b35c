package dev.sanderling;

/** A value that a run computed. */
public final class Layer {
    private final String node;
    private final String operator;
    private final String value;
    private final String type;
    private final String digest;

    Layer(String node, String operator, String value, String type, String digest) {
        this.node = node;
        this.operator = operator;
        this.value = value;
        this.type = type;
        this.digest = digest;
    }

    /** ONNX name of the node; may be empty. */
    public String node() {
        return node;
    }

    /** ONNX operator. */
    public String operator() {
        return operator;
    }

    /** ONNX name of the value. */
    public String value() {
        return value;
    }

    /** Type and shape. */
    public String type() {
        return type;
    }

    /** SHA-256 over type, shape and elements, as `sanderling hash` prints it; null for floats and what depends on them. */
    public String digest() {
        return digest;
    }
}
