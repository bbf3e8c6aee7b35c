package dev.sanderling;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What native methods tell: they call these methods by name. Keep them when shrinking (see proguard.txt). */
final class Sinks {
    private Sinks() {}

    static final class Described {
        String name = "";
        String version = "";
        String digest = "";
        final List<Port> inputs = new ArrayList<>();
        final List<Port> outputs = new ArrayList<>();
        final List<String> labels = new ArrayList<>();

        void model(String name, String version, String digest) {
            this.name = name;
            this.version = version;
            this.digest = digest;
        }

        void port(boolean input, String name, int type, long[] shape) {
            (input ? inputs : outputs).add(new Port(name, type == 0 ? null : DType.ofCode(type), shape));
        }

        void label(String label) {
            labels.add(label);
        }
    }

    static final class Outputs {
        final Map<String, Tensor> tensors = new LinkedHashMap<>();

        ByteBuffer output(String name, int type, long[] shape, int bytes) {
            ByteBuffer data = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
            tensors.put(name, new Tensor(DType.ofCode(type), shape, data));
            return data;
        }
    }

    static final class Layers {
        final List<Layer> layers = new ArrayList<>();

        void layer(String node, String operator, String value, String type, String digest) {
            layers.add(new Layer(node, operator, value, type, digest));
        }
    }

    static final class Answered {
        private final List<Answer.Scored> scored = new ArrayList<>();
        private String label = "";
        private float confidence;
        private boolean rule;
        private boolean belowThreshold;
        private boolean flagged;

        void answer(String label, float confidence, boolean rule, boolean belowThreshold, boolean flagged) {
            this.label = label;
            this.confidence = confidence;
            this.rule = rule;
            this.belowThreshold = belowThreshold;
            this.flagged = flagged;
        }

        void top(String label, int index, float score) {
            scored.add(new Answer.Scored(label, index, score));
        }

        Answer answer() {
            return new Answer(label, confidence, scored, rule, belowThreshold, flagged);
        }
    }

    static final class Requested {
        private final Map<String, String> headers = new LinkedHashMap<>();
        private long id;
        private String method = "";
        private String url = "";
        private byte[] body = {};
        private long maxBody;
        private int timeoutSeconds;

        void request(long id, String method, String url, byte[] body, long maxBody, int timeoutSeconds) {
            this.id = id;
            this.method = method;
            this.url = url;
            this.body = body;
            this.maxBody = maxBody;
            this.timeoutSeconds = timeoutSeconds;
        }

        void put(String name, String value) {
            headers.put(name, value);
        }

        Transport.Request request() {
            return new Transport.Request(id, method, url, headers, body, maxBody, timeoutSeconds);
        }
    }

    static final class Pairs {
        final Map<String, String> values = new LinkedHashMap<>();

        void put(String name, String value) {
            values.put(name, value);
        }
    }
}
