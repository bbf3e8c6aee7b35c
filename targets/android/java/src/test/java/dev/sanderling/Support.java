package dev.sanderling;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The native binary, bundles of real models, and inputs. */
final class Support {
    static final Path ROOT = Path.of(System.getProperty("sanderling.root")).toAbsolutePath().normalize();
    static final Path ZOO = Path.of(System.getProperty("sanderling.zoo")).toAbsolutePath();

    private Support() {}

    static ProcessBuilder command(Object... words) {
        List<String> line = new ArrayList<>(List.of(System.getProperty("sanderling.cli"), "--json"));
        for (Object word : words) {
            line.add(word.toString());
        }
        return new ProcessBuilder(line).directory(ROOT.toFile());
    }

    /** Runs the native binary to its end; what it printed. */
    static String cli(Object... words) throws IOException, InterruptedException {
        Process process = command(words).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) {
            throw new AssertionError(List.of(words) + ":\n" + output);
        }
        return output;
    }

    /** The first text under a key of JSON. */
    static String text(String json, String key) {
        Matcher found = Pattern.compile("\"" + key + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!found.find()) {
            throw new AssertionError("no " + key + " in " + json);
        }
        return found.group(1);
    }

    static ByteBuffer map(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
        }
    }

    static ByteBuffer direct(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length);
        buffer.put(bytes).flip();
        return buffer;
    }

    /** Random numbers for the one input, and the same as a .npy file. */
    static Map<String, Tensor> random(Session session, Path npy) throws IOException {
        Port port = session.inputs().get(0);
        long[] shape = port.shape();
        StringBuilder dims = new StringBuilder();
        for (int i = 0; i < shape.length; i++) {
            shape[i] = Math.max(shape[i], 1);
            dims.append(shape[i]).append(", ");
        }
        Tensor tensor = Tensor.zeros(DType.FLOAT32, shape);
        Random random = new Random(5);
        while (tensor.data().hasRemaining()) {
            tensor.data().putFloat((float) random.nextGaussian());
        }
        tensor.data().flip();
        String head = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + dims + "), }";
        head = head + " ".repeat(64 - (10 + head.length() + 1) % 64) + "\n";
        ByteBuffer file = ByteBuffer.allocate(10 + head.length() + tensor.data().remaining()).order(ByteOrder.LITTLE_ENDIAN);
        file.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}).putShort((short) head.length());
        file.put(head.getBytes()).put(tensor.data().duplicate());
        Files.write(npy, file.array());
        return Map.of(port.name(), tensor);
    }
}
