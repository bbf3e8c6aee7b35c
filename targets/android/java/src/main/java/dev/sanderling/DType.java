package dev.sanderling;

/** Element types, by ONNX's numbers. */
public enum DType {
    FLOAT32(1, 4),
    UINT8(2, 1),
    INT8(3, 1),
    UINT16(4, 2),
    INT16(5, 2),
    INT32(6, 4),
    INT64(7, 8),
    BOOL(9, 1),
    FLOAT16(10, 2),
    FLOAT64(11, 8),
    UINT32(12, 4),
    UINT64(13, 8),
    BFLOAT16(16, 2);

    private final int code;
    private final int bytes;

    DType(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    /** ONNX's number (`TensorProto.DataType`). */
    public int code() {
        return code;
    }

    /** Bytes of an element. */
    public int bytes() {
        return bytes;
    }

    static DType ofCode(int code) {
        for (DType type : values()) {
            if (type.code == code) {
                return type;
            }
        }
        throw new SanderlingException.Run("ONNX's type " + code + " has no name in this library");
    }
}
