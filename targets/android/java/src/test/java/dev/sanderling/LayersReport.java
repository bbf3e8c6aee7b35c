package dev.sanderling;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/** Reports a run for `cargo xtask everywhere`: BUNDLE INPUT, the input a file of little-endian binary32. */
final class LayersReport {
    private LayersReport() {}

    public static void main(String[] arguments) throws Exception {
        try (Session session = Session.open(arguments[0])) {
            Port port = session.inputs().get(0);
            long[] shape = Arrays.stream(port.shape()).map(size -> Math.max(size, 1)).toArray();
            ByteBuffer values = Support.map(Path.of(arguments[1])).order(ByteOrder.LITTLE_ENDIAN);
            Map<String, Tensor> inputs = Map.of(port.name(), new Tensor(DType.FLOAT32, shape, values));
            long[] times = new long[6];
            ByteBuffer scores = null;
            for (int i = 0; i < times.length; i++) {
                long start = System.nanoTime();
                scores = session.run(inputs).values().iterator().next().data();
                times[i] = System.nanoTime() - start;
            }
            int best = 0;
            scores.order(ByteOrder.nativeOrder());
            for (int i = 0; i < scores.capacity() / 4; i++) {
                best = scores.getFloat(4 * i) > scores.getFloat(4 * best) ? i : best;
            }
            System.out.println("answer " + best);
            // The first one prepares the shape.
            Arrays.sort(times, 1, times.length);
            System.out.println("ms " + times[3] / 1e6);
            for (Layer layer : session.layers(inputs)) {
                if (layer.digest() != null) {
                    System.out.println("layer " + layer.digest() + " " + layer.value());
                }
            }
        }
    }
}
